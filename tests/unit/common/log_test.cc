#include "common/log.h"

#include <gtest/gtest.h>

#include "common/status.h"

namespace shoal {
namespace {

std::string Captured(LogFields fields) {
  ::testing::internal::CaptureStderr();
  InitLog("test", "info");
  LogInfo("happened", fields);
  LogDebug("hidden");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, OneLineOfKeyValues) {
  const std::string line = Captured({{"n", 7}, {"name", "a b"}, {"ok", true}});
  EXPECT_NE(line.find("level=info program=test event=happened n=7 "
                      "name=\"a b\" ok=true\n"),
            std::string::npos)
      << line;
  EXPECT_EQ(line.find("hidden"), std::string::npos);
}

TEST(Log, ForeignTextCanNotForgeALine) {
  const std::string line = Captured({{"x", "a\nevent=forged \"q\" \x01"}});
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("x=\"a\\nevent=forged \\\"q\\\" \\x01\""),
            std::string::npos)
      << line;
}

TEST(Log, ErrorsCarryTheirReason) {
  const std::string line =
      Captured({{"error", NotFound("unknown_device", "no such device")}});
  EXPECT_NE(line.find("error=\"unknown_device: no such device\""),
            std::string::npos)
      << line;
}

}  // namespace
}  // namespace shoal
