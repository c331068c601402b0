#include "core/backend/sqlite/authorize.h"

#include <sqlite3.h>
#include <strings.h>

#include <string_view>

#include "absl/strings/match.h"

namespace quarry::sqlite {
namespace {

bool IsOwnTable(const char* name) { return name != nullptr && absl::StartsWithIgnoreCase(name, "quarry_"); }

bool Equals(const char* name, const char* other) { return name != nullptr && strcasecmp(name, other) == 0; }

// Those that only tell; most of the others tell when they have no argument and set when they have one.
bool PragmaAllowed(const char* name, const char* argument) {
  for (const char* tells : {"table_info", "table_xinfo", "table_list", "index_list", "index_info",
                            "index_xinfo", "foreign_key_list", "foreign_key_check", "collation_list",
                            "function_list", "compile_options", "quick_check", "integrity_check"}) {
    if (Equals(name, tells)) return true;
  }
  if (argument != nullptr) return false;
  for (const char* shows : {"user_version", "application_id", "schema_version", "page_count", "page_size",
                            "freelist_count", "encoding", "foreign_keys", "journal_mode", "synchronous"}) {
    if (Equals(name, shows)) return true;
  }
  return false;
}

}  // namespace

int AuthorizeRaw(int action, const char* first, const char* second) {
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:  // VACUUM asks for it too.
    case SQLITE_DETACH:
    case SQLITE_CREATE_TEMP_INDEX:  // Temporary objects would be seen by the connection's next user.
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW:
      return SQLITE_DENY;
    case SQLITE_PRAGMA:
      return PragmaAllowed(first, second) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
      return Equals(second, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
      return IsOwnTable(first) ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_ALTER_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_DROP_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_TRIGGER:
      return IsOwnTable(first) || IsOwnTable(second) ? SQLITE_DENY : SQLITE_OK;
    default:
      return SQLITE_OK;
  }
}

}  // namespace quarry::sqlite
