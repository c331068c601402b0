#include "server/loop/grpc_status.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(GrpcStatusTest, KeepsTheFirstFieldsOfAnErrorThatNamesTooMany) {
  std::vector<FieldViolation> violations;
  for (int i = 0; i < 500; ++i) violations.push_back({"record.column_" + std::to_string(i), "must be an integer"});
  const grpc::Status status = ToGrpcStatus(InvalidFields(violations));

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_LE(status.error_details().size(), 3584u);
  google::rpc::Status full;
  ASSERT_TRUE(full.ParseFromString(status.error_details()));
  google::rpc::BadRequest request;
  google::rpc::ErrorInfo info;
  for (const google::protobuf::Any& detail : full.details()) {
    detail.UnpackTo(&request);
    detail.UnpackTo(&info);
  }
  EXPECT_EQ(info.reason(), "INVALID_FIELD");
  ASSERT_GT(request.field_violations_size(), 20);
  EXPECT_EQ(request.field_violations(0).field(), "record.column_0");
}

}  // namespace
}  // namespace quarry
