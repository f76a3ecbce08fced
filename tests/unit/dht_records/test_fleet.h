// A fleet in one process: keys, credentials, and Networks on loopback whose
// store is a map that says when it has "synced".
#ifndef SHOAL_TESTS_UNIT_DHT_RECORDS_TEST_FLEET_H_
#define SHOAL_TESTS_UNIT_DHT_RECORDS_TEST_FLEET_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "common/crypto/ed25519.h"
#include "dht/records/network.h"
#include "dht/records/record.h"

namespace shoal::dht::testing {

struct Member {
  crypto::SigningKey key;
  std::string id;  // 16 bytes
  records::v1::Credential credential;
};

class TestFleet {
 public:
  TestFleet();

  Member MakeMember(WriterClass kind, std::string id = "");
  // Device and node CA are one key here; `revoked` ids are refused.
  WriterResolver Resolver() const;
  absl::Status VerifyNode(const records::v1::Credential& credential,
                          absl::Time now) const;

  RecordFields Fields(RecordKind kind, std::string place, uint64_t version,
                      std::string payload) const;
  std::string DirectorRecord(RecordKind kind, const std::string& place,
                             uint64_t version, std::string payload) const;
  std::string DeviceRecord(const Member& member, RecordKind kind,
                           const std::string& place, uint64_t version,
                           std::string payload) const;
  VerifyContext Context(const WriterResolver& resolver) const;
  NetworkOptions Options() const;  // of a client, with directory and keys

  std::string fleet_id;
  std::string place_key;
  PlaceNamer places;
  crypto::SigningKey ca;
  crypto::SigningKey director;
  crypto::SigningKey operator_key;
  std::vector<pairing::v1::NetworkKey> keys;
  records::v1::NodeDirectory directory;
  std::set<std::string> revoked;
};

// A storage node with a map for a disk.
class TestNode {
 public:
  // Port 0 first; a restart keeps the port.
  TestNode(TestFleet& fleet, int index);
  absl::Status Open();  // also after Close
  void Close() { network_.reset(); }
  Network& network() { return *network_; }
  bool open() const { return network_ != nullptr; }
  bool Has(const std::string& digest) const;
  size_t stored() const;
  void Lose();  // its disk
  const Member& member() const { return member_; }
  const std::string& address() const { return address_; }

  // Set before Open.
  bool answers_receipts = true;
  std::optional<crypto::SigningKey> time_key;
  Clock* clock = &SystemClock();
  std::function<bool(const VerifiedRecord&)> quota;
  std::map<std::string, std::string> grants;  // device id → record

 private:
  TestFleet& fleet_;
  Member member_;
  std::string address_ = "127.0.0.1:0";
  mutable std::mutex mutex_;
  std::map<std::string, absl::Time> disk_;
  std::unique_ptr<Network> network_;
};

// `count` nodes that know each other through fleet.directory, all admitted.
std::vector<std::unique_ptr<TestNode>> StartNodes(TestFleet& fleet, int count);
// Every open node has admitted every other.
absl::Status WaitForMesh(std::vector<std::unique_ptr<TestNode>>& nodes);

}  // namespace shoal::dht::testing

#endif  // SHOAL_TESTS_UNIT_DHT_RECORDS_TEST_FLEET_H_
