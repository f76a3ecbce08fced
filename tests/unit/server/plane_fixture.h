// The plane's domain on an in-memory store, with offline keys in the test's
// hand and no network: records stay in the outbox, where tests read them.
#ifndef SHOAL_TESTS_UNIT_SERVER_PLANE_FIXTURE_H_
#define SHOAL_TESTS_UNIT_SERVER_PLANE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/ed25519.h"
#include "common/kv/store.h"
#include "dht/records/record.h"
#include "server/fleet/device_changes.h"
#include "server/fleet/devices.h"
#include "server/fleet/groups.h"
#include "server/fleet/nodes.h"
#include "server/fleet/pairing.h"
#include "server/fleet/telemetry.h"
#include "server/identity/plane_keys.h"
#include "server/publish/publisher.h"
#include "server/pull/intake.h"
#include "server/release/deltas.h"
#include "server/release/releases.h"
#include "server/rollout/driver.h"
#include "server/rollout/rollouts.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::server {

struct TestDevice {
  crypto::SigningKey key = crypto::SigningKey::Generate();
  crypto::BoxKey box = crypto::BoxKey::Generate();
  std::string id;  // 16 bytes, once paired
  records::v1::Credential credential;
};

class PlaneTest : public ::testing::Test {
 protected:
  void SetUp() override;

  // The offline side.
  std::string SignFw(uint64_t version,
                     const std::vector<std::pair<std::string, std::string>>&
                         images,  // version text → bytes
                     const crypto::SigningKey& key);
  RepositoryChange OfflineRepository();

  // The whole way by the domain's own calls.
  store::ReleaseRow MakeRelease(const std::string& version,
                                const std::string& bytes);
  void EnrollNode(const std::string& name);
  pairing::v1::ClaimTicket MakeTicket(bool hold = false);
  // A device's answer record to the ticket's offer.
  std::string Answer(const pairing::v1::ClaimTicket& ticket,
                     const TestDevice& device);
  void Pair(TestDevice& device);
  std::string DeviceRecord(const TestDevice& device, dht::RecordKind kind,
                           const std::string& place, uint64_t version,
                           const std::string& payload);
  std::string OutcomeRecord(const TestDevice& device,
                            const std::string& rollout,
                            records::v1::OutcomeResult result,
                            const std::string& running_sha256,
                            uint64_t counter);
  std::string HaltRecord(const crypto::SigningKey& key,
                         const std::string& rollout);
  absl::Status Take(const std::vector<std::string>& records);
  // From here on the plane takes device reports in.
  void ReadReports();
  // Records of the outbox of one kind.
  std::vector<dht::RecordBody> Outbox(dht::RecordKind kind);
  void EmptyOutbox();  // as if all were acknowledged

  testing::TempDir dir_;
  testing::FakeClock clock_;
  crypto::SigningKey root_ = crypto::SigningKey::Generate();
  crypto::SigningKey targets_ = crypto::SigningKey::Generate();
  crypto::SigningKey policy_key_ = crypto::SigningKey::Generate();
  crypto::SigningKey fw_ = crypto::SigningKey::Generate();
  crypto::SigningKey operator_ = crypto::SigningKey::Generate();
  std::vector<std::pair<std::string, std::string>> images_;
  uint64_t fw_version_ = 1;
  std::unique_ptr<PlaneKeys> keys_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<TrustRepository> trust_;
  std::unique_ptr<Blobs> blobs_;
  std::unique_ptr<RecordWriter> writer_;
  std::unique_ptr<Writers> writers_;
  std::unique_ptr<Nodes> nodes_;
  std::unique_ptr<DeviceChanges> changes_;
  std::unique_ptr<Groups> groups_;
  std::unique_ptr<Devices> devices_;
  std::unique_ptr<Enrolment> enrolment_;
  std::unique_ptr<Pairing> pairing_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Releases> releases_;
  std::unique_ptr<Deltas> deltas_;
  std::unique_ptr<Rollouts> rollouts_;
  std::unique_ptr<Telemetry> telemetry_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<RolloutDriver> driver_;
  uint32_t mirrors_ = 2;
};

}  // namespace shoal::server

#endif  // SHOAL_TESTS_UNIT_SERVER_PLANE_FIXTURE_H_
