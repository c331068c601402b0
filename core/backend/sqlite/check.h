// A statement's condition on its own result.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "core/model/statement.h"

namespace quarry::sqlite {

absl::Status VerifyCheck(const Check& check, const StatementResult& result, std::string_view shard);

}  // namespace quarry::sqlite
