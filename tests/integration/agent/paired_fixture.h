// A test's own storage node and plane, and a device that runs the real
// programs.
#ifndef SHOAL_TESTS_INTEGRATION_AGENT_PAIRED_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_AGENT_PAIRED_FIXTURE_H_

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "tests/integration/agent/test_plane.h"
#include "tests/support/device.h"

namespace shoal::testing {

class PairedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(plane_, TestPlane::Start(dir_));
    ASSERT_OK(plane_->AllowInstall());
    ASSERT_OK(plane_->Publish());
    WriteText(dir_.File("factory"), std::string(50'000, 'f'));
    device_ = std::make_unique<Device>(dir_, "device");
  }
  // With `more` in the device's [network].
  void Pair(const std::string& more = "") {
    ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
    WriteText(dir_.File("ticket"), ticket);
    ASSERT_OK(device_->Init({"--image", dir_.File("factory"), "--ticket-file",
                             dir_.File("ticket")}));
    device_->Replace("interval = \"60s\"", "interval = \"200ms\"");
    device_->Replace("[network]", "[network]\n" + more);
    device_->Configure(
        "\n[commands.greet]\nprogram = \"/bin/echo\"\n"
        "arguments = [\"hello\", \"{0}\"]\ntypes = [\"identifier\"]\n"
        "\n[commands.secret]\nprogram = \"/bin/echo\"\narguments = [\"no\"]\n");
    device_->PowerOn();
    ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
    ASSERT_OK(device_->process().WaitForLog("event=paired"));
  }
  std::vector<records::v1::Outcome> Outcomes() {
    std::vector<records::v1::Outcome> outcomes;
    for (const auto& record :
         plane_->Received(records::v1::RECORD_KIND_OUTCOME))
      outcomes.emplace_back().ParseFromString(record.body.payload());
    return outcomes;
  }
  // Sends a command as `op` and waits for its result.
  absl::StatusOr<records::v1::CommandResult> Command(
      const TestOperator& op, const std::string& name,
      const std::vector<std::string>& arguments) {
    std::string box_key;
    SHOAL_RETURN_IF_ERROR(WaitFor("the device's report", [&] {
      for (const auto& record :
           plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT)) {
        records::v1::DeviceReport report;
        report.ParseFromString(record.body.payload());
        box_key = report.box_key();
      }
      return !box_key.empty();
    }));
    const crypto::BoxKey reply = crypto::BoxKey::Generate();
    records::v1::Command command;
    command.set_id(crypto::RandomBytes(16));
    command.set_device_id(plane_->device_id());
    command.set_operator_key(op.key.public_key());
    command.set_name(name);
    for (const std::string& argument : arguments)
      command.add_arguments(argument);
    command.set_issued(absl::ToUnixMillis(absl::Now()));
    command.set_expires(absl::ToUnixMillis(absl::Now() + absl::Minutes(5)));
    command.set_reply_key(reply.public_key());
    SHOAL_ASSIGN_OR_RETURN(
        const std::string sealed,
        crypto::SealTo(box_key, command.SerializeAsString()));
    SHOAL_ASSIGN_OR_RETURN(
        const std::string record,
        plane_->fleet().OperatorRecord(op, records::v1::RECORD_KIND_COMMAND,
                                       HexEncode(plane_->device_id()),
                                       ++command_version_, sealed));
    SHOAL_RETURN_IF_ERROR(plane_->Store(record));
    const std::string place = plane_->places().CommandResult(command.id());
    std::string payload;
    SHOAL_RETURN_IF_ERROR(WaitFor("the result", [&] {
      for (const auto& one :
           plane_->Received(records::v1::RECORD_KIND_COMMAND_RESULT))
        if (one.body.place() == place) payload = one.body.payload();
      return !payload.empty();
    }));
    SHOAL_ASSIGN_OR_RETURN(const std::string plain, reply.Open(payload));
    records::v1::CommandResult result;
    result.ParseFromString(plain);
    return result;
  }

  // By a key that nobody knows.
  absl::Status Plant(records::v1::RecordKind kind, const std::string& name,
                     const std::string& payload) {
    dht::RecordFields fields;
    fields.kind = kind;
    fields.place = plane_->places().Place(kind, name);
    fields.version = std::numeric_limits<uint64_t>::max();
    fields.issued = absl::Now();
    fields.expires = absl::Now() + absl::Hours(24);
    fields.payload = payload;
    return plane_->Store(dht::SignRecord(fields, crypto::SigningKey::Generate(),
                                         plane_->fleet().fleet_id()));
  }

  // A HEAD with a timestamp of a higher version than any, whose signatures no
  // longer fit.
  absl::Status PushTamperedTimestamp() {
    std::string bytes =
        ReadText(plane_->fleet().repository() + "/metadata/timestamp.json");
    const size_t last = bytes.rfind("\"version\":");
    if (last == std::string::npos) return Internal("bad_timestamp", bytes);
    bytes.insert(last + 10, "9");
    records::v1::Head head;
    head.set_timestamp(bytes);
    SHOAL_ASSIGN_OR_RETURN(
        const std::string record,
        plane_->fleet().DirectorRecord(records::v1::RECORD_KIND_HEAD, "gateway",
                                       1'000'000, head.SerializeAsString()));
    return plane_->Store(record);
  }

  TempDir dir_;
  std::unique_ptr<TestPlane> plane_;
  std::unique_ptr<Device> device_;
  uint64_t command_version_ = 0;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_AGENT_PAIRED_FIXTURE_H_
