// How ThreadSanitizer runs, and what it does not tell. Linked into every executable of its build, so that one that another
// program starts has it too.

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "halt_on_error=1 second_deadlock_stack=1 external_symbolizer_path=/usr/bin/llvm-symbolizer-16";
}

// The system's libraries are not instrumented: the sanitizer sees what they read and write through the C library, but not
// the atomics by which they pass it between threads (gRPC's event queues, SQLite's shared index of the WAL, the counts of a
// shared absl::Status, the guards of cpp-httplib's local statics). Races of Quarry's own memory have none of these in their stacks.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libsqlite3.so\n"
         "called_from_lib:libcpp-httplib.so\n"
         "called_from_lib:libabsl_cord.so\n"
         "called_from_lib:libabsl_cord_internal.so\n"
         "called_from_lib:libabsl_graphcycles_internal.so\n"
         "called_from_lib:libabsl_status.so\n"
         "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n"
         "race:libabsl_cord.so\n"
         "race:libabsl_cord_internal.so\n"
         "race:libabsl_status.so\n"
         "race:libabsl_time_zone\n"
         "race:absl::*::status_internal::\n"
         "race:absl::*::Status::Unref\n"
         // sqlite3_free and sqlite3session_delete end with a jump to an unlock, which then seems to come from whoever called
         // them.
         "mutex:FreeChangeset\n"
         "mutex:quarry::sqlite::Recorder::~Recorder\n";
}
