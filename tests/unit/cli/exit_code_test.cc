#include "server/cli/exit_code.h"

#include <gtest/gtest.h>

#include "common/status.h"

namespace shoal::cli {
namespace {

TEST(ExitCode, SpeaksOfTheFleet) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(FailedPrecondition("rollout_failed", "x")), 1);
  EXPECT_EQ(ExitCodeOf(Internal("x", "x")), 1);
  EXPECT_EQ(ExitCodeOf(UsageError("x")), 2);
  EXPECT_EQ(ExitCodeOf(Unavailable("unreachable", "x")), 3);
  EXPECT_EQ(ExitCodeOf(MakeError(absl::StatusCode::kDeadlineExceeded,
                                 "no_answer", "x")),
            3);
  EXPECT_EQ(ExitCodeOf(PermissionDenied("not_allowed", "x")), 4);
  EXPECT_EQ(ExitCodeOf(MakeError(absl::StatusCode::kUnauthenticated,
                                 "not_an_operator", "x")),
            4);
  EXPECT_EQ(ExitCodeOf(NotFound("unknown_device", "x")), 5);
}

TEST(ExitCode, LocalFilesAndVerificationAreFailures) {
  EXPECT_EQ(ExitCodeOf(ErrnoError(ENOENT, "open x")), 1);
  EXPECT_EQ(ExitCodeOf(ErrnoError(EACCES, "open x")), 1);
  EXPECT_EQ(ExitCodeOf(PermissionDenied("bad_signature", "x")), 1);
  EXPECT_EQ(ExitCodeOf(PermissionDenied("wrong_fleet", "x")), 1);
  // The plane's word about a value is no usage error of this tool.
  EXPECT_EQ(ExitCodeOf(InvalidArgument("bad_rollout", "x")), 1);
}

TEST(FormatError, SaysWhatToDo) {
  EXPECT_EQ(FormatError(FailedPrecondition("no_context", "none in use")),
            "shoal: none in use (no_context)\n  make one: shoal context add "
            "NAME --server HOST:PORT --server-cert FILE --operator DIR\n");
  EXPECT_NE(FormatError(Unavailable("unreachable", "x")).find("shoald runs"),
            std::string::npos);
  EXPECT_NE(FormatError(PermissionDenied("x", "y")).find("shoal policy test"),
            std::string::npos);
  EXPECT_NE(FormatError(UsageError("x")).find("--help"), std::string::npos);
  EXPECT_EQ(FormatError(Internal("broken", "x")), "shoal: x (broken)\n");
}

}  // namespace
}  // namespace shoal::cli
