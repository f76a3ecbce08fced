// Matchers on absl::Status and StatusOr: tests assert code and reason.
//
//   EXPECT_THAT(verifier.Refresh(), IsOk());
//   EXPECT_THAT(result, Fails(absl::StatusCode::kDataLoss, "bad_signature"));
#ifndef SHOAL_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define SHOAL_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "common/status.h"

namespace shoal::testing {

inline const absl::Status& GetStatus(const absl::Status& s) { return s; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& s) {
  return s.status();
}

MATCHER(IsOk, "is OK") {
  const absl::Status& status = GetStatus(arg);
  if (!status.ok()) *result_listener << ReasonOf(status) << ": " << status;
  return status.ok();
}

MATCHER_P2(Fails, code, reason,
           std::string("fails with code ") + absl::StatusCodeToString(code) +
               " and reason " + std::string(reason)) {
  const absl::Status& status = GetStatus(arg);
  *result_listener << ReasonOf(status) << ": " << status;
  return status.code() == code && ReasonOf(status) == reason;
}

// Only the reason.
MATCHER_P(FailsBecause, reason,
          std::string("fails with reason ") + std::string(reason)) {
  const absl::Status& status = GetStatus(arg);
  *result_listener << ReasonOf(status) << ": " << status;
  return !status.ok() && ReasonOf(status) == reason;
}

}  // namespace shoal::testing

#define ASSERT_OK(expr) ASSERT_THAT(expr, ::shoal::testing::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT(expr, ::shoal::testing::IsOk())
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_INNER(SHOAL_CONCAT(test_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  ASSERT_THAT(tmp, ::shoal::testing::IsOk());      \
  lhs = std::move(tmp).value()

#endif  // SHOAL_TESTS_SUPPORT_STATUS_MATCHERS_H_
