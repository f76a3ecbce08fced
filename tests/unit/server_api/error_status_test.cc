#include "server/api/error_status.h"

#include <gtest/gtest.h>

#include "server/api/error_details.pb.h"

namespace shoal::server {
namespace {

TEST(ErrorStatus, CarriesAnErrorInfo) {
  const grpc::Status status =
      ErrorStatus(grpc::StatusCode::INVALID_ARGUMENT, "filter, character 3: no",
                  "bad_filter", {{"position", "2"}});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 3);
  EXPECT_EQ(details.message(), status.error_message());
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(),
            "type.googleapis.com/google.rpc.ErrorInfo");
  rpc::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.reason(), "bad_filter");
  EXPECT_EQ(info.domain(), "shoal");
  EXPECT_EQ(info.metadata().at("position"), "2");
}

}  // namespace
}  // namespace shoal::server
