#include "common/status.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/status_matchers.h"

namespace shoal {
namespace {

using ::shoal::testing::Fails;

TEST(Status, CarriesCodeReasonAndMessage) {
  const absl::Status status = NotFound("unknown_device", "no such device");
  EXPECT_THAT(status, Fails(absl::StatusCode::kNotFound, "unknown_device"));
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "ok");
  EXPECT_EQ(ReasonOf(absl::UnknownError("x")), "unspecified");
}

TEST(Status, AnnotateKeepsTheReason) {
  const absl::Status status =
      Annotate(DataLoss("hash_mismatch", "differs"), "image");
  EXPECT_THAT(status, Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
  EXPECT_EQ(status.message(), "image: differs");
}

TEST(Status, ErrnoHasStableReasons) {
  EXPECT_THAT(ErrnoError(ENOSPC, "write x"),
              Fails(absl::StatusCode::kResourceExhausted, "disk_full"));
  EXPECT_THAT(ErrnoError(ENOENT, "open x"),
              Fails(absl::StatusCode::kNotFound, "io_not_found"));
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return InvalidArgument("odd", "odd number");
  return n / 2;
}
absl::StatusOr<int> Quarter(int n) {
  SHOAL_ASSIGN_OR_RETURN(int half, Half(n));
  SHOAL_RETURN_IF_ERROR(Half(half));
  return half / 2;
}

TEST(Status, MacrosPassErrorsOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_THAT(Quarter(7), Fails(absl::StatusCode::kInvalidArgument, "odd"));
  EXPECT_THAT(Quarter(6), Fails(absl::StatusCode::kInvalidArgument, "odd"));
}

}  // namespace
}  // namespace shoal
