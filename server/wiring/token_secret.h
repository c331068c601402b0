// The secret of page and resume tokens: the configured one, or one of the gateway's own.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/config/config.h"

namespace quarry {

// Without tokens.secret: what data_dir/token.key holds, made at the first start, readable by its owner alone. Over PostgreSQL
// alone an unusable data_dir is no error: then the secret lasts as long as the process. Warns where other gateways or the next
// start would not know it.
absl::StatusOr<std::string> TokenSecret(const Config& config);

}  // namespace quarry
