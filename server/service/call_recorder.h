// Tells metrics and the access log of every call.
#pragma once

#include "server/loop/rpc_table.h"
#include "server/observe/access_log.h"
#include "server/observe/rpc_metrics.h"

namespace quarry {

class CallRecorder final : public CallObserver {
 public:
  // `table` is complete; `log`, which may be null, outlives this.
  CallRecorder(const RpcTable& table, size_t loops, AccessLog* log);
  void Started(const Method& method, uint32_t loop_index) override;
  void Ended(const CallRecord& record) override;
  const std::shared_ptr<RpcMetrics>& metrics() const { return metrics_; }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;
  AccessLog* const log_;
};

}  // namespace quarry
