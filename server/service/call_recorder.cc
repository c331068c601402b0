#include "server/service/call_recorder.h"

#include <memory>
#include <utility>
#include <vector>

namespace quarry {
namespace {

std::vector<MethodLabels> LabelsOf(const RpcTable& table) {
  std::vector<MethodLabels> labels;
  for (const std::unique_ptr<Method>& method : table.methods()) {
    labels.push_back({MethodKindName(method->kind), method->service, method->name});
  }
  return labels;
}

}  // namespace

CallRecorder::CallRecorder(const RpcTable& table, size_t loops, AccessLog* log)
    : metrics_(std::make_shared<RpcMetrics>(LabelsOf(table), loops)), log_(log) {}

void CallRecorder::Started(const Method& method, uint32_t loop_index) { metrics_->Started(loop_index, method.index); }

void CallRecorder::Ended(const CallRecord& record) {
  metrics_->Ended(record.loop_index, record.method.index, record.status.code(), record.duration);
  if (log_ == nullptr) return;
  log_->Write({record.method.path, record.method.kind == MethodKind::kUnary, record.status, record.duration,
               record.stage, record.call_id});
}

}  // namespace quarry
