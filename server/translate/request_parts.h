// Parts that several requests have in common. What is wrong with them goes to `violations`.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/model/condition.h"
#include "core/model/operation.h"
#include "google/protobuf/message.h"
#include "quarry/v1/common.pb.h"
#include "server/translate/violations.h"

namespace quarry {

template <typename Strings>
std::vector<std::string> ToNames(const Strings& names) {
  return std::vector<std::string>(names.begin(), names.end());
}

// Where a call may go, by the forms that it takes.
struct TargetForms {
  bool one = true;   // key, shard
  bool many = true;  // shards, all_shards
};

Target ToTarget(const v1::Target& wire, TargetForms forms, Violations& violations);

// The values of a filter's @name parameters.
using Params = std::map<std::string, Value>;
Params ToParams(const google::protobuf::Map<std::string, v1::Value>& wire, const FieldPath& path, Violations& violations);
void RefuseUnused(const Params& params, const FieldPath& path, Violations& violations);
// What the text of a filter says; none when it is wrong.
std::optional<Condition> ToCondition(const std::string& text, const Params& params, const FieldPath& field,
                                     Violations& violations);

// True when the call asks for one cut; excludes `allow_partial`.
bool ToSnapshot(const v1::ReadOptions& options, bool allow_partial, Violations& violations);
void CheckReadOptions(const v1::ReadOptions& options, bool in_transaction, Violations& violations);
// All of the request, the same for equal ones.
std::string QuestionOf(const google::protobuf::Message& request);
// How old an answer to `request` may be.
Freshness ToFreshness(const google::protobuf::Message& request, const v1::ReadOptions& options);
// Empty when there is none.
LockFence ToFence(const v1::LockFence& wire, Violations& violations);
// In canonical form; "" when there is none.
std::string ToRequestId(const std::string& text, Violations& violations);

}  // namespace quarry
