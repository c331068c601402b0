// What a user's own SQL may do.
#pragma once

namespace quarry::sqlite {

// As sqlite3_set_authorizer's callback: SQLITE_OK or SQLITE_DENY.
int AuthorizeRaw(int action, const char* first, const char* second);

}  // namespace quarry::sqlite
