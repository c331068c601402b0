#include "client/quarryctl/session.h"

#include <cstdlib>

#include "absl/time/clock.h"
#include "client/quarryctl/failure.h"
#include "core/base/ids.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {

absl::StatusOr<Context> Session::ResolvedContext() const {
  ContextOverrides overrides;
  if (!context.empty()) overrides.context = context;
  if (!address.empty()) overrides.address = address;
  if (const char* env = std::getenv("QUARRY_ADDRESS"); env != nullptr && *env != '\0')
    overrides.env_address = env;
  if (!timeout.empty()) {
    QUARRY_ASSIGN_OR_RETURN(overrides.timeout, ParseTimeout(timeout));
  }
  QUARRY_ASSIGN_OR_RETURN(const Contexts contexts, LoadContexts(ContextsPath()));
  return ResolveContext(contexts, overrides);
}

absl::StatusOr<client::Client*> Session::Client() {
  if (client_ != nullptr) return client_.get();
  const absl::StatusOr<Context> resolved = ResolvedContext();
  options_wrong_ = !resolved.ok();
  if (!resolved.ok()) return resolved.status();
  client::ClientOptions options;
  options.address = resolved->address;
  options.timeout = resolved->timeout;
  QUARRY_ASSIGN_OR_RETURN(client_, client::Client::Connect(options));
  return client_.get();
}

std::string Session::WriteId(const std::string& given) {
  SystemRandom random;
  write_id_ = given.empty() ? IdGenerator(static_cast<uint32_t>(random.Next()), random).UuidV7(absl::Now()) : given;
  return write_id_;
}

void Session::Fail(const std::string& what, const absl::Status& status) {
  err_ << Describe(what, status, write_id_);
  exit_code_ = options_wrong_ ? kExitUsage : ExitCodeOf(status);
}

void Session::FailUsage(const std::string& what, const absl::Status& status) {
  err_ << Describe(what, status, "");
  exit_code_ = kExitUsage;
}

}  // namespace quarry::ctl
