// What every command of one run shares: the global options, the connection, and the two streams.
#pragma once

#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/quarryctl/contexts.h"

namespace quarry::ctl {

class Session {
 public:
  // The streams outlive this.
  Session(std::ostream& out, std::ostream& err) : out_(out), err_(err) {}

  // Global options, as the command line gives them; "" means not given.
  std::string context;
  std::string address;
  std::string timeout;
  std::string format = "text";  // -o

  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }
  bool json() const { return format == "json"; }

  absl::StatusOr<Context> ResolvedContext() const;
  // Connects on first use.
  absl::StatusOr<client::Client*> Client();

  // The request id of the write that is sent next, `given` or one of its own: so that a failure whose outcome is unknown can
  // say under which id the write is safe to repeat.
  std::string WriteId(const std::string& given);

  // Prints `status` as the failure of `what`, and remembers the exit code: that of a wrong command
  // line when the options or the contexts were why.
  void Fail(const std::string& what, const absl::Status& status);
  void FailUsage(const std::string& what, const absl::Status& status);
  int exit_code() const { return exit_code_; }
  void set_exit_code(int code) { exit_code_ = code; }

 private:
  std::ostream& out_;
  std::ostream& err_;
  std::unique_ptr<client::Client> client_;
  std::string write_id_;  // "" until a write is sent.
  bool options_wrong_ = false;
  int exit_code_ = 0;
};

}  // namespace quarry::ctl
