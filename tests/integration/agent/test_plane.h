// The other side for agent tests, in the test's own process: one storage node
// (DHT, origin, seeder) and what the plane does when a device pairs.
#ifndef SHOAL_TESTS_INTEGRATION_AGENT_TEST_PLANE_H_
#define SHOAL_TESTS_INTEGRATION_AGENT_TEST_PLANE_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/link/trust.h"
#include "dht/records/network.h"
#include "dht/swarm/fetch_process.h"
#include "dht/swarm/origin_server.h"
#include "shoal/rollout/v1/document.pb.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {

class TestPlane {
 public:
  static absl::StatusOr<std::unique_ptr<TestPlane>> Start(const TempDir& dir);
  ~TestPlane();

  TestFleet& fleet() { return *fleet_; }
  // Signs what changed and hands all its records to the node.
  absl::Status Publish();
  absl::Status Store(const std::string& record);
  // The image's bytes are seeded by the node.
  absl::StatusOr<TestImage> Release(const std::string& version,
                                    uint64_t counter, std::string_view bytes);
  // A rollout of `image` to everybody at once; the caller may change it.
  rollout::v1::RolloutDocument Rollout(const std::string& id,
                                       const TestImage& image);
  absl::Status AddRollout(const rollout::v1::RolloutDocument& document);
  // The policy's only rules: "director" may install everywhere, and `more`.
  absl::Status AllowInstall(std::vector<policy::v1::Rule> more = {});

  // The text of a fresh ticket, with its offer published.
  absl::StatusOr<std::string> Ticket(absl::Duration lifetime = absl::Hours(1));
  // Answers the answer to the last ticket, once it is there.
  absl::Status Grant(const crypto::SigningKey& director);
  const std::string& device_id() const { return device_id_; }

  // The only storage node is gone; what it stored is lost.
  void NodeIsGone() { network_.reset(); }
  // Verified records that reached the node.
  std::vector<dht::VerifiedRecord> Received(records::v1::RecordKind kind);
  const dht::PlaceNamer& places() const { return *places_; }

 private:
  TestPlane() = default;
  absl::Status RefreshTrust();

  std::string directory_;
  std::unique_ptr<TestFleet> fleet_;
  std::unique_ptr<dht::PlaceNamer> places_;
  std::shared_ptr<agent::TrustHolder> holder_ =
      std::make_shared<agent::TrustHolder>();
  std::unique_ptr<dht::OriginServer> origin_;
  std::unique_ptr<dht::FetchProcess> seeder_;
  std::mutex mutex_;
  std::map<std::string, dht::VerifiedRecord> received_;  // by digest
  pairing::v1::ClaimTicket ticket_;
  std::string offer_;
  std::string device_id_;
  std::string dht_address_;
  std::unique_ptr<dht::Network> network_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_AGENT_TEST_PLANE_H_
