#include <cstdlib>
#include <filesystem>

#include "agent/state/agent_config.h"
#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;
using testing::WriteFile;

TEST(AgentConfig, ARelativePathGivesAbsoluteDirectories) {
  TempDir dir;
  WriteFile(dir.File("agent.toml"), "[device]\ntype = \"gateway\"\n");
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  const auto config = AgentConfig::Load("agent.toml");
  std::filesystem::current_path(before);
  ASSERT_OK(config);
  EXPECT_EQ(config->path, dir.File("agent.toml"));
  EXPECT_TRUE(config->data_directory.starts_with(dir.path()))
      << config->data_directory;
  EXPECT_EQ(config->StateDirectory()[0], '/');
}

// The device's own civil time, with the days on which it jumps.
TEST(LocalTime, FollowsTheZoneAndItsSummerTime) {
  absl::TimeZone known;
  if (!absl::LoadTimeZone("Europe/Berlin", &known))
    GTEST_SKIP() << "this machine has no time zones (tzdata)";
  const char* const had = ::getenv("TZ");
  const std::string before = had == nullptr ? "" : had;
  const auto in_zone = [](const char* zone, const char* utc) {
    EXPECT_EQ(::setenv("TZ", zone, 1), 0);
    absl::Time time;
    std::string error;
    EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, utc, &time, &error))
        << error;
    return LocalTimeAt(time);
  };
  const auto is = [](const rules::LocalTime& local, int weekday, int hour,
                     int minute, int date) {
    EXPECT_EQ(local.weekday, weekday) << date;
    EXPECT_EQ(local.minute, hour * 60 + minute) << date;
    EXPECT_EQ(local.date, date);
  };
  const char* const berlin = "Europe/Berlin";
  is(in_zone(berlin, "2026-01-05T12:00:00Z"), 1, 13, 0, 20260105);
  is(in_zone(berlin, "2026-12-31T23:30:00Z"), 5, 0, 30, 20270101);
  is(in_zone("Pacific/Auckland", "2026-06-07T12:00:00Z"), 1, 0, 0, 20260608);
  // 02:00 to 03:00 do not exist on the one Sunday and come twice on the other.
  is(in_zone(berlin, "2026-03-29T00:59:59Z"), 7, 1, 59, 20260329);
  is(in_zone(berlin, "2026-03-29T01:00:00Z"), 7, 3, 0, 20260329);
  is(in_zone(berlin, "2026-10-25T00:30:00Z"), 7, 2, 30, 20261025);
  is(in_zone(berlin, "2026-10-25T01:30:00Z"), 7, 2, 30, 20261025);
  is(in_zone(berlin, "2026-10-25T02:00:00Z"), 7, 3, 0, 20261025);
  ASSERT_OK_AND_ASSIGN(const auto window, ParseWindow("02:00-03:00"));
  const auto open = [&](const char* utc) {
    return InWindows({window}, in_zone(berlin, utc));
  };
  EXPECT_FALSE(open("2026-03-29T00:59:59Z"));
  EXPECT_FALSE(open("2026-03-29T01:00:00Z"));
  EXPECT_TRUE(open("2026-10-25T00:30:00Z"));
  EXPECT_TRUE(open("2026-10-25T01:30:00Z"));
  if (had == nullptr) {
    ::unsetenv("TZ");
  } else {
    ::setenv("TZ", before.c_str(), 1);
  }
}

TEST(AgentConfig, ComponentsHaveProgramsOrTheOwnersWord) {
  TempDir dir;
  const auto load = [&](const std::string& more) {
    WriteFile(dir.File("agent.toml"), "[device]\ntype = \"gateway\"\n" + more);
    return AgentConfig::Load(dir.File("agent.toml"));
  };
  ASSERT_OK_AND_ASSIGN(
      const AgentConfig config,
      load("components = [\"fpga=2\"]\n[components.modem]\n"
           "program = \"/usr/lib/modem\"\ntime_limit = \"2m\"\n"));
  EXPECT_EQ(config.parts.components.at("fpga"), 2u);
  EXPECT_EQ(config.components.at("modem").program, "/usr/lib/modem");
  EXPECT_EQ(config.components.at("modem").time_limit, absl::Minutes(2));
  for (const char* bad :
       {"[components.modem]\n", "[components.modem]\nprogram = \"modem\"\n",
        "[components.modem]\nprogram = \"/m\"\ntime_limit = \"2h\"\n",
        "[components.modem]\nprogram = \"/m\"\nextra = 1\n",
        "[components.image]\nprogram = \"/m\"\n",
        "[components.\"../x\"]\nprogram = \"/m\"\n",
        "components = [\"modem=2\"]\n[components.modem]\nprogram = "
        "\"/m\"\n"})
    EXPECT_THAT(load(bad), FailsBecause("bad_config")) << bad;
  std::string nine;
  for (int i = 0; i < 9; ++i)
    nine += "[components.c" + std::to_string(i) + "]\nprogram = \"/m\"\n";
  EXPECT_THAT(load(nine), FailsBecause("bad_config"));
}

TEST(AgentConfig, ReadsEveryPart) {
  TempDir dir;
  WriteFile(dir.File("agent.toml"), R"(
[device]
type = "gateway"
[update]
reboot = "manual"
windows = ["mon-wed 22:00-06:00", "00:00-00:30"]
min_interval = "2h"
[health]
command = ["/bin/true"]
[telemetry]
interval = "2s"
[commands.ping]
program = "/bin/ping"
arguments = ["-c", "{0}", "{1}"]
types = ["integer:1:5", "choice:left|right"]
)");
  ASSERT_OK_AND_ASSIGN(const AgentConfig config,
                       AgentConfig::Load(dir.File("agent.toml")));
  EXPECT_EQ(config.device_type, "gateway");
  EXPECT_FALSE(config.reboot_automatically);
  ASSERT_EQ(config.windows.size(), 2u);
  EXPECT_EQ(config.windows[0].weekdays_size(), 3);
  EXPECT_EQ(config.windows[0].from_minute(), 22u * 60);
  const CommandDefinition& ping = config.commands.at("ping");
  EXPECT_OK(ping.types[0].Check("5"));
  EXPECT_THAT(ping.types[0].Check("6"), FailsBecause("bad_argument"));
  EXPECT_THAT(ping.types[0].Check("5;id"), FailsBecause("bad_argument"));
  EXPECT_OK(ping.types[1].Check("left"));
  EXPECT_THAT(ping.types[1].Check("up"), FailsBecause("bad_argument"));
  EXPECT_EQ(config.StateDirectory(), JoinPath(config.data_directory, "state"));
}

TEST(AgentConfig, MistakesAreNamed) {
  TempDir dir;
  const std::string path = dir.File("agent.toml");
  for (const char* text :
       {"", "[device]\ntype = \"../x\"\n",
        "[device]\ntype = \"g\"\n[update]\nwindows = [\"25:00-01:00\"]\n",
        "[device]\ntype = \"g\"\n[network]\nstart_spread = \"2h\"\n",
        "[device]\ntype = \"g\"\nspelling = 1\n",
        "[device]\ntype = \"g\"\n[commands.x]\nprogram = \"relative\"\n",
        "[device]\ntype = \"g\"\n[commands.x]\nprogram = \"/x\"\n"
        "types = [\"text\"]\n",
        "[device]\ntype = \"g\"\n[slots]\nhandler = \"grub\"\n"}) {
    WriteFile(path, text);
    EXPECT_THAT(AgentConfig::Load(path), FailsBecause("bad_config")) << text;
  }
}

TEST(AgentConfig, WindowsHoldInLocalTime) {
  ASSERT_OK_AND_ASSIGN(const auto night, ParseWindow("22:00-06:00"));
  EXPECT_TRUE(InWindows({}, {1, 700}));
  EXPECT_TRUE(InWindows({night}, {1, 23 * 60}));
  EXPECT_TRUE(InWindows({night}, {1, 60}));
  EXPECT_FALSE(InWindows({night}, {1, 12 * 60}));
  EXPECT_THAT(ParseWindow("noon"), FailsBecause("bad_window"));
  EXPECT_THAT(ParseWindow("fry 10:00-11:00"), FailsBecause("bad_window"));
}

}  // namespace
}  // namespace shoal::agent
