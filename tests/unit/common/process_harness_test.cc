// The harness's own promise: what a sanitizer reports fails the test.
#include "tests/support/process_harness.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {
namespace {

void RunAndEcho(const char* text) { ASSERT_OK(Run({"/bin/echo", text})); }

void StartAndEcho(const char* text) {
  TempDir dir;
  HarnessProcess process("echo", {"/bin/echo", text}, dir);
  ASSERT_OK(process.Start());
  ASSERT_OK(process.Wait(absl::Seconds(20)));
}

TEST(ProcessHarness, ASanitizersReportFailsTheTest) {
  EXPECT_NONFATAL_FAILURE(RunAndEcho("WARNING: ThreadSanitizer: data race"),
                          "data race");
  EXPECT_NONFATAL_FAILURE(RunAndEcho("ERROR: LeakSanitizer: leaks"), "leaks");
  EXPECT_NONFATAL_FAILURE(StartAndEcho("ERROR: AddressSanitizer: overflow"),
                          "overflow");
  EXPECT_NONFATAL_FAILURE(StartAndEcho("x.cc:1:2: runtime error: shift"),
                          "shift");
}

TEST(ProcessHarness, OtherOutputDoesNot) {
  RunAndEcho("event=ready");
  StartAndEcho("event=ready");
}

}  // namespace
}  // namespace shoal::testing
