// Named gateways: the file ~/.config/quarry/config.yaml and what overrides it.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quarry::ctl {

struct Context {
  std::string address = "127.0.0.1:7400";
  absl::Duration timeout = absl::Seconds(30);
};

struct Contexts {
  std::string current;  // Empty when none is chosen.
  std::map<std::string, Context> by_name;
};

// What the command line and the environment say; unset means not said.
struct ContextOverrides {
  std::optional<std::string> context;      // --context
  std::optional<std::string> address;      // --address
  std::optional<std::string> env_address;  // QUARRY_ADDRESS
  std::optional<absl::Duration> timeout;   // --timeout
};

// $QUARRYCTL_CONFIG, or $XDG_CONFIG_HOME/quarry/config.yaml, or ~/.config/quarry/config.yaml.
std::string ContextsPath();

// An absent file has no contexts. INVALID_ARGUMENT names the line of a mistake; unknown keys are
// mistakes.
absl::StatusOr<Contexts> LoadContexts(const std::string& path);
// Replaces the file whole, and makes its folder.
absl::Status SaveContexts(const std::string& path, const Contexts& contexts);

// --address > --context > QUARRY_ADDRESS > the current context > the defaults.
absl::StatusOr<Context> ResolveContext(const Contexts& contexts, const ContextOverrides& overrides);

// "30s", "1m30s", "500ms"; positive.
absl::StatusOr<absl::Duration> ParseTimeout(const std::string& text);

}  // namespace quarry::ctl
