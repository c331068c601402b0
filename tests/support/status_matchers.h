// Matchers for absl::Status and StatusOr: EXPECT_THAT(result, IsOk()), StatusIs(code), HasReason("ROW_NOT_FOUND").
#pragma once

#include <ostream>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Where the violations are.
inline std::set<std::string> FieldsOf(const absl::Status& status) {
  std::set<std::string> fields;
  for (const FieldViolation& violation : DetailOf(status).violations) fields.insert(violation.field);
  return fields;
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has status code " + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

MATCHER_P(HasReason, reason, std::string("has the reason ") + reason) {
  *result_listener << StatusOf(arg).ToString();
  return ReasonOf(StatusOf(arg)) == reason;
}

// ASSERT_OK_AND_ASSIGN(auto value, Compute());
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_(QUARRY_TEST_CONCAT_(quarry_test_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_(var, lhs, expr) \
  auto var = (expr);                          \
  ASSERT_THAT(var, ::quarry::IsOk());         \
  lhs = *std::move(var)
#define QUARRY_TEST_CONCAT_(a, b) QUARRY_TEST_CONCAT_INNER_(a, b)
#define QUARRY_TEST_CONCAT_INNER_(a, b) a##b

}  // namespace quarry
