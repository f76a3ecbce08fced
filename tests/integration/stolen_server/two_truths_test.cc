// T46: who holds the plane's keys shows one device one truth and another one
// another. The release log makes that a proof against him.
#include <filesystem>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "shoal/records/v1/payloads.pb.h"
#include "tests/integration/stolen_server/stolen_server_fixture.h"

namespace shoal::testing {
namespace {

class TwoTruths : public StolenServer {
 protected:
  // As it is when the power is cut, with nothing left to do: else the first
  // that comes back goes on before the second has looked. At an address of its
  // own.
  void CopyThePlane() {
    const auto says = [&](std::vector<std::string> arguments,
                          const std::string& text) {
      arguments.insert(arguments.end(), {"--output", "json"});
      const auto answer = fleet_->Shoal(std::move(arguments));
      return answer.ok() && answer->find(text) != std::string::npos;
    };
    ASSERT_OK(WaitFor("the plane to have nothing to do", [&] {
      return says({"rollout", "get", "honest"}, "ROLLOUT_STATE_FINISHED") &&
             says({"release", "deltas", "gateway/5.0"}, "DELTA_STATE_MADE");
    }));
    fleet_->KillPlane();
    std::filesystem::copy(fleet_->plane_directory(), dir_.File("copy"),
                          std::filesystem::copy_options::recursive);
    std::filesystem::remove(dir_.File("copy/address"));
  }
  // The alarm is in the log, in `status`, and on disk as two signed documents.
  void Alarmed() {
    ASSERT_OK(
        device().process().WaitForLog("event=log_fork", absl::Seconds(60)));
    const auto fork = device().Status()["log"]["fork"];
    ASSERT_TRUE(fork.is_object());
    const std::string evidence =
        ReadText(device().data() + "/metadata/log_fork.jsonl");
    const size_t line = evidence.find('\n');
    ASSERT_NE(line, std::string::npos);
    const std::string ours = evidence.substr(0, line);
    std::string theirs = evidence.substr(line + 1);
    theirs.pop_back();
    EXPECT_NE(ours, theirs);
    for (const std::string& one : {ours, theirs})
      EXPECT_OK(signing::ParseTimestamp(one)) << one;
  }
  void InstallsNothingNew() {
    ASSERT_OK(WaitFor("the alarm in the device's status", [&] {
      return device().Status()["live"].value("log_alarm", "") == "log_fork";
    }));
    NothingHappened();
  }
};

// Both programs are real: one plane's store and keys, copied, and two planes
// that go on from there at once, each by itself.
TEST_F(TwoTruths, T46_TwoPlanesFromOneStoreAreFoundOut) {
  ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  ASSERT_NO_FATAL_FAILURE(CopyThePlane());
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("second"));
  ASSERT_OK(fleet_->plane().WaitForLog("event=network_checked"));
  ASSERT_OK(fleet_->StartPlaneBeside("copy"));
  ASSERT_OK(fleet_->Connect("third"));
  ASSERT_OK(fleet_->plane().WaitForLog("event=network_checked"));
  // The first truth: the camera has an update. The gateway sees no more of it
  // than that the log goes on.
  const int before = device().Status()["log"].value("size", 0);
  fleet_->UseContext("second");
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "truth-1", "--release",
                           "camera/1.0", "--phase", "all:percent=100"}));
  ASSERT_OK(WaitFor("the device to take the first truth", [&] {
    return device().Status()["log"].value("size", 0) > before;
  }));
  // The other: the gateway is to run 4.0.
  fleet_->UseContext("third");
  for (const char* id : {"truth-2", "truth-3"})
    ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", id, "--release",
                             "gateway/4.0", "--phase", "all:percent=100"}));
  ASSERT_NO_FATAL_FAILURE(Alarmed());
  ASSERT_NO_FATAL_FAILURE(InstallsNothingNew());
  // The plane, while it is up, hears of it; `shoal device list` has no more to
  // say than what the device signed.
  ASSERT_OK(WaitFor("the alarm in what operators see", [&] {
    const auto list = fleet_->Shoal({"device", "list", "--output", "json"});
    return list.ok() && list->find("log_fork") != list->npos;
  }));
}

// The same by mistake: a backup, restored after more was published. It sees so
// before it signs a second history, and the fleet is none the worse for it.
TEST_F(TwoTruths, T46_APlaneOfAnOlderBackupStopsBeforeItForksTheLog) {
  ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  ASSERT_NO_FATAL_FAILURE(CopyThePlane());
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("second"));
  const int before = device().Status()["log"].value("size", 0);
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "later", "--release",
                           "camera/1.0", "--phase", "all:percent=100"}));
  ASSERT_OK(WaitFor("the device to see that the log goes on", [&] {
    return device().Status()["log"].value("size", 0) > before;
  }));
  fleet_->KillPlane();
  ASSERT_OK(fleet_->LaunchPlaneFrom("copy"));
  ASSERT_OK_AND_ASSIGN(const ExitStatus end, fleet_->plane().Wait());
  EXPECT_EQ(end.code, 1);
  const std::string log = fleet_->PlaneLog();
  EXPECT_NE(log.find("shoald: behind_network: "), log.npos) << log;
  EXPECT_EQ(log.find("event=network_checked"), log.npos) << log;
  // The plane that was published from goes on, and the device with it.
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("third"));
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "after", "--release",
                           "gateway/4.0", "--phase", "all:percent=100"}));
  ASSERT_NO_FATAL_FAILURE(Runs("4.0"));
  EXPECT_FALSE(device().Status()["log"].contains("fork"));
}

// The thief keeps the truths apart: no device is ever handed the other's. But
// devices compare.
TEST_F(TwoTruths, T46_ADeviceHearsOfAnotherTruthFromAnotherDevice) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  ASSERT_OK(thief_->Publish());
  const std::string first = thief_->timestamp();
  ASSERT_OK(WaitFor("the device to take the first truth", [&] {
    return ReadText(device().data() + "/metadata/timestamp.json") == first;
  }));
  // Another device of the fleet, at whose place witnesses of its shard stand.
  const auto other = crypto::SigningKey::Generate();
  const std::string id = crypto::RandomBytes(16);
  const auto credential =
      thief_->Certify(thief_->keys().device_ca, other.public_key(),
                      records::v1::WRITER_CLASS_DEVICE, id);
  uint64_t version = 0;
  const auto witness = [&](const std::string& timestamp) {
    records::v1::LogWitness payload;
    payload.set_timestamp(timestamp);
    dht::RecordFields fields;
    fields.kind = records::v1::RECORD_KIND_LOG_WITNESS;
    fields.place = thief_->places().LogWitness(
        dht::OutcomeShardOf(id, dht::kLogWitnessShards));
    fields.version = ++version;
    fields.credential = credential;
    fields.payload = payload.SerializeAsString();
    ASSERT_OK(thief_->Send(std::move(fields), other));
  };
  // A device that lies can say what it likes: the timestamp's key did not.
  std::string forged = first;
  const size_t root = forged.find("\"root\":\"") + 8;
  forged[root] = forged[root] == '0' ? '1' : '0';
  ASSERT_NO_FATAL_FAILURE(witness(forged));
  ASSERT_OK(device().process().WaitForLog("event=witness_ignored",
                                          absl::Seconds(60)));
  EXPECT_FALSE(device().Status()["log"].contains("fork"));
  // The second truth, which only the other device was shown.
  ASSERT_OK_AND_ASSIGN(const std::string second, thief_->AnotherTruth());
  ASSERT_NO_FATAL_FAILURE(witness(second));
  ASSERT_NO_FATAL_FAILURE(Alarmed());
  ASSERT_NO_FATAL_FAILURE(InstallsNothingNew());
  // Signed as it may be, nothing more of either truth is taken.
  ASSERT_NO_FATAL_FAILURE(Refused("an update after the alarm", "log_fork", [&] {
    ASSERT_NO_FATAL_FAILURE(Roll(thief_->Rollout("fw/gateway/4.0/image")));
  }));
}

// A thief whose new truth simply lacks the log.
TEST_F(TwoTruths, T46_ALogThatWasSeenIsMandatory) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  ASSERT_OK(thief_->Publish());
  thief_->LeaveTheLogOut();
  ASSERT_NO_FATAL_FAILURE(Refused("a timestamp without a log", "log_missing",
                                  [&] { ASSERT_OK(thief_->Publish()); }));
}

}  // namespace
}  // namespace shoal::testing
