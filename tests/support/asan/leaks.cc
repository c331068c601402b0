// Leaks of libraries, which no code of ours could mend. Linked into every executable of an address sanitizer's build.

// The leak sanitizer asks for it by this name.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  // The resolver that gRPC uses keeps a few bytes of a name that it was asked for until the process ends.
  return "leak:libcares\n";
}
