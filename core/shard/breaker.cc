#include "core/shard/breaker.h"

#include <string>

#include "core/base/error.h"

namespace quarry {
namespace {

// The call ended before the shard was asked.
bool EndedBeforeTheShard(const ErrorDetail& detail) {
  const auto stage = detail.facts.find("stage");
  return stage != detail.facts.end() &&
         (stage->second == "queue" || stage->second == "plan" || stage->second == "pool");
}

}  // namespace

Evidence EvidenceOf(const absl::Status& status, absl::Duration took, absl::Duration timeout_min) {
  if (status.ok()) return Evidence::kHealthy;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return Evidence::kFault;
    case absl::StatusCode::kUnknown:
      // The connection broke in mid-write, unless the database itself sent an error that has no better code.
      return ReasonOf(status) == reason::kDatabaseError ? Evidence::kHealthy : Evidence::kFault;
    case absl::StatusCode::kDeadlineExceeded:
      return took < timeout_min || EndedBeforeTheShard(DetailOf(status)) ? Evidence::kNothing
                                                                         : Evidence::kFault;
    case absl::StatusCode::kResourceExhausted:
      // A full pool is our own doing; a full disk is the database's answer.
      return ReasonOf(status) == reason::kPoolExhausted ? Evidence::kNothing : Evidence::kHealthy;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDataLoss:
      return Evidence::kNothing;
    default:
      // A statement in a transaction that has ended is refused before it reaches the shard.
      return ReasonOf(status) == reason::kTransactionEnded ? Evidence::kNothing : Evidence::kHealthy;
  }
}

std::optional<Breaker::Ticket> Breaker::Admit(absl::Time now) {
  if (!open_) return ticket();
  if (now < next_probe_) return std::nullopt;
  next_probe_ = now + options_.probe_interval;
  return Ticket{.period = ++period_, .probe = true};
}

void Breaker::Record(Ticket ticket, const absl::Status& status, absl::Duration took, absl::Time now) {
  switch (EvidenceOf(status, took, options_.timeout_min)) {
    case Evidence::kNothing:
      return;
    case Evidence::kHealthy:
      faults_ = 0;
      last_fault_ = absl::OkStatus();
      if (open_) ++period_;
      open_ = false;
      return;
    case Evidence::kFault:
      if (ticket.period != period_) return;
      last_fault_ = status;
      if (ticket.probe) next_probe_ = now + options_.probe_interval;
      if (open_ || ++faults_ < options_.faults_max) return;
      open_ = true;
      ++period_;
      next_probe_ = now + options_.probe_interval;
      return;
  }
}

}  // namespace quarry
