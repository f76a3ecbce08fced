// What the tool shows of devices and groups, against golden files: a change of
// a column or a word is a change that somebody looked at.
#include "server/cli/device_view.h"

#include <gtest/gtest.h>

#include <sstream>

#include "common/files.h"
#include "server/cli/commands.h"
#include "server/cli/confirm.h"
#include "server/cli/csv.h"
#include "server/cli/device_table.h"
#include "server/cli/exit_code.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/cli/golden.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1'767'225'600);

fleet::v1::Device Gateway() {
  fleet::v1::Device device;
  device.set_name("devices/0123456789abcdef0123456789abcdef");
  device.set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  device.set_device_type("gateway");
  (*device.mutable_labels())["site"] = "north, \"hall\" 3";
  (*device.mutable_labels())["ring"] = "canary";
  device.set_public_key(std::string(64, 'a'));
  device.set_running_version("1.4.0");
  device.set_running_sha256(std::string(64, 'b'));
  device.set_running_counter(14);
  (*device.mutable_inventory())["kernel"] = "6.1.0-18-arm64";
  (*device.mutable_inventory())["memory_mb"] = "2048";
  device.set_enrolled_at(1'760'000'000'000);
  device.set_last_seen_at(1'767'225'000'000);
  device.set_waiting_reason("outside_window");
  device.set_policy_version(3);
  device.set_agent_version("0.1.0");
  device.add_groups("groups/lab");
  device.add_groups("groups/canary");
  return device;
}

fleet::v1::Device Unseen() {
  fleet::v1::Device device;
  device.set_name("devices/ffffffffffffffffffffffffffffffff");
  device.set_state(fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
  device.set_device_type("kiosk");
  return device;
}

std::string List(const std::string& names, size_t width) {
  const auto columns = ParseColumns(names);
  EXPECT_OK(columns);
  Table table = DeviceTable(*columns);
  AddDeviceRow(table, *columns, Gateway(), kNow);
  AddDeviceRow(table, *columns, Unseen(), kNow);
  return table.Render(width);
}

TEST(Golden, DeviceLists) {
  ExpectGolden("device_list.txt", List(kDeviceColumns, 0));
  ExpectGolden("device_list_80.txt", List(kDeviceColumns, 80));
  ExpectGolden("device_list_columns.txt",
               List("id,seen,labels.site,inventory.kernel,groups,image", 0));
}

TEST(Golden, OneDevice) {
  ExpectGolden("device.txt", DescribeDevice(Gateway()));
  ExpectGolden("device.yaml", MessageToYaml(Gateway()));
  ExpectGolden("device.json", MessageToJson(Gateway(), true) + "\n");
}

TEST(Golden, Groups) {
  google::protobuf::RepeatedPtrField<fleet::v1::Group> groups;
  auto& lab = *groups.Add();
  lab.set_name("groups/lab");
  lab.set_filter("labels.site = lab AND running_version < 2.0");
  lab.set_member_count(12);
  lab.set_reconciling(true);
  lab.set_created_at(1'760'000'000'000);
  auto& pilots = *groups.Add();
  pilots.set_name("groups/pilots");
  pilots.set_description("Friendly users");
  ExpectGolden("group_list.txt", GroupTable(groups, 0));
  ExpectGolden("group.txt", DescribeGroup(lab));
}

TEST(Golden, History) {
  google::protobuf::RepeatedPtrField<fleet::v1::DeviceEvent> events;
  auto& event = *events.Add();
  event.set_time(1'767'225'000'000);
  event.set_kind(fleet::v1::DEVICE_EVENT_KIND_VERSION);
  event.set_actor("device");
  event.set_detail("1.3.0 -> 1.4.0");
  auto& labels = *events.Add();
  labels.set_time(1'760'000'000'000);
  labels.set_kind(fleet::v1::DEVICE_EVENT_KIND_LABELS);
  labels.set_actor("operator:ann");
  labels.set_detail("+site=\x1b[2Jnorth");
  ExpectGolden("device_history.txt", EventTable(events, 0));
}

TEST(Golden, Export) {
  ExpectGolden("device_export.csv", DevicesToCsv({Gateway(), Unseen()}));
}

TEST(Columns, UnknownOnesAreUsage) {
  for (const char* text : {"", "colour", "labels.", "labels.a b", "id,,id"}) {
    EXPECT_EQ(ExitCodeOf(ParseColumns(text).status()), kExitUsage) << text;
  }
}

TEST(DeviceTable, ComesBackAsItWent) {
  ASSERT_OK_AND_ASSIGN(const auto back,
                       DevicesFromCsv(DevicesToCsv({Gateway(), Unseen()})));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].name(), Gateway().name());
  EXPECT_EQ(back[0].labels().at("site"), "north, \"hall\" 3");
  EXPECT_EQ(back[0].groups_size(), 2);
  EXPECT_TRUE(back[1].labels().empty());
  // A label without a value is one all the same.
  fleet::v1::Device flagged = Gateway();
  (*flagged.mutable_labels())["spare"] = "";
  (*flagged.mutable_labels())["old"] = "";
  ASSERT_OK_AND_ASSIGN(const auto flags,
                       DevicesFromCsv(DevicesToCsv({flagged, Unseen()})));
  EXPECT_EQ((std::map<std::string, std::string>(flags[0].labels().begin(),
                                                flags[0].labels().end())),
            (std::map<std::string, std::string>(flagged.labels().begin(),
                                                flagged.labels().end())));
  EXPECT_TRUE(flags[1].labels().empty());
  ASSERT_OK_AND_ASSIGN(
      const auto json,
      DevicesFromJson(MessageToJson(Gateway(), false) + "\n\n"));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0].labels().at("ring"), "canary");
  EXPECT_EQ(json[0].groups(0), "groups/lab");
  EXPECT_THAT(DevicesFromJson("{\"name\":1}\n{"), FailsBecause("bad_json"));
  EXPECT_THAT(DevicesFromCsv(""), FailsBecause("bad_csv"));
  EXPECT_THAT(DevicesFromCsv("colour\n"), FailsBecause("bad_csv"));
}

TEST(Csv, QuotesAndErrors) {
  ASSERT_OK_AND_ASSIGN(const auto lines,
                       ParseCsv("a,b\r\n\"x\"\"y\n\",\r\n\n1,2"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1], (std::vector<std::string>{"x\"y\n", ""}));
  EXPECT_EQ(CsvLine(lines[1]), "\"x\"\"y\n\",\n");
  for (const char* bad : {"\"open", "a,b\n1\n", "\"x\"y\n"}) {
    EXPECT_THAT(ParseCsv(bad), FailsBecause("bad_csv")) << bad;
  }
}

TEST(Yaml, IsReadAsWhatItSays) {
  EXPECT_EQ(JsonToYaml(R"({"a":"x","b":["1",{"c":true,"d":[]}],"e":{},)"
                       R"("f":"no","g":"x: y","h":7,"i":"","j":[[1,2]]})"),
            "a: x\nb:\n  - \"1\"\n  - c: true\n    d: []\ne: {}\nf: \"no\"\n"
            "g: \"x: y\"\nh: 7\ni: \"\"\nj:\n  - - 1\n    - 2\n");
}

TEST(Confirm, AsksSomebodyOrWantsYes) {
  std::ostringstream out, err;
  std::istringstream in("yes\nno\n");
  Program script(RealFileSystem(), SystemClock(), {out, err});
  EXPECT_OK(Confirm(script, "Sure?", true));
  EXPECT_EQ(ExitCodeOf(Confirm(script, "Sure?", false)), kExitUsage);
  Streams streams{out, err};
  streams.in = &in;
  Program terminal(RealFileSystem(), SystemClock(), streams);
  EXPECT_OK(Confirm(terminal, "Sure?", false));
  EXPECT_THAT(Confirm(terminal, "Sure?", false), FailsBecause("not_confirmed"));
  EXPECT_NE(err.str().find("Sure? [y/N] "), std::string::npos);
}

}  // namespace
}  // namespace shoal::cli
