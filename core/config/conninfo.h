// PostgreSQL connection strings, as far as Quarry must understand them: well-formed, who it is for, what is secret.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "core/config/config.h"

namespace quarry {

// "host=db1 port=5432 dbname=shop user=app" or "postgresql://app@db1:5432/shop". Unknown parameters get "did you mean".
// What it leaves out comes from PGHOST and its kind in `environment`, as when libpq connects; services (PGSERVICE) are not
// looked up. The error's message never quotes a value.
absl::StatusOr<PostgresEndpoint> ParseConninfo(const std::string& text,
                                               const std::map<std::string, std::string>& environment = {});

}  // namespace quarry
