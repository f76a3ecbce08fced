#include "tests/unit/dht_records/test_fleet.h"

#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht::testing {

using records::v1::Credential;
using records::v1::CredentialBody;

TestFleet::TestFleet()
    : fleet_id(crypto::Sha256Digest("root of the test fleet")),
      place_key(crypto::RandomBytes(32)),
      places(place_key),
      ca(crypto::SigningKey::Generate()),
      director(crypto::SigningKey::Generate()),
      operator_key(crypto::SigningKey::Generate()) {
  pairing::v1::NetworkKey key;
  key.set_epoch(1);
  key.set_key(crypto::RandomBytes(32));
  keys.push_back(key);
}

Member TestFleet::MakeMember(WriterClass kind, std::string id) {
  Member member{crypto::SigningKey::Generate(),
                id.empty() ? crypto::RandomBytes(16) : std::move(id),
                {}};
  CredentialBody body;
  body.set_public_key(member.key.public_key());
  body.set_subject_id(member.id);
  body.set_kind(kind);
  body.set_not_after(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
  body.set_serial(7);
  body.SerializeToString(member.credential.mutable_body());
  member.credential.set_signature(ca.Sign(crypto::SigningInput(
      "shoal.credential.v1", fleet_id, member.credential.body())));
  return member;
}

namespace {

absl::StatusOr<Writer> CheckCredential(const TestFleet& fleet,
                                       const Credential& credential,
                                       absl::Time now) {
  CredentialBody body;
  if (!body.ParseFromString(credential.body()) ||
      !crypto::Ed25519Verify(
          fleet.ca.public_key(),
          crypto::SigningInput("shoal.credential.v1", fleet.fleet_id,
                               credential.body()),
          credential.signature()))
    return PermissionDenied("foreign_writer", "not of this fleet");
  if (absl::FromUnixSeconds(body.not_after()) <= now)
    return PermissionDenied("expired_credential", "ran out");
  if (fleet.revoked.contains(body.subject_id()))
    return PermissionDenied("revoked", "revoked");
  return Writer{body.kind(), body.subject_id(), body.public_key()};
}

}  // namespace

WriterResolver TestFleet::Resolver() const {
  return
      [this](const RecordBody& body, absl::Time now) -> absl::StatusOr<Writer> {
        if (body.writer_key() == director.public_key())
          return Writer{records::v1::WRITER_CLASS_DIRECTOR, "director",
                        director.public_key()};
        if (body.writer_key() == operator_key.public_key())
          return Writer{records::v1::WRITER_CLASS_OPERATOR, "operator",
                        operator_key.public_key()};
        if (!body.has_credential())
          return PermissionDenied("foreign_writer", "not of this fleet");
        return CheckCredential(*this, body.credential(), now);
      };
}

absl::Status TestFleet::VerifyNode(const Credential& credential,
                                   absl::Time now) const {
  SHOAL_ASSIGN_OR_RETURN(const Writer writer,
                         CheckCredential(*this, credential, now));
  if (writer.kind != records::v1::WRITER_CLASS_NODE)
    return PermissionDenied("wrong_credential", "not a node credential");
  return absl::OkStatus();
}

RecordFields TestFleet::Fields(RecordKind kind, std::string place,
                               uint64_t version, std::string payload) const {
  RecordFields fields;
  fields.kind = kind;
  fields.place = std::move(place);
  fields.version = version;
  fields.issued = absl::Now();
  fields.expires = absl::Now() + absl::Hours(1);
  fields.payload = std::move(payload);
  return fields;
}

std::string TestFleet::DirectorRecord(RecordKind kind, const std::string& place,
                                      uint64_t version,
                                      std::string payload) const {
  return SignRecord(Fields(kind, place, version, std::move(payload)), director,
                    fleet_id);
}

std::string TestFleet::DeviceRecord(const Member& member, RecordKind kind,
                                    const std::string& place, uint64_t version,
                                    std::string payload) const {
  RecordFields fields = Fields(kind, place, version, std::move(payload));
  fields.credential = member.credential;
  return SignRecord(fields, member.key, fleet_id);
}

VerifyContext TestFleet::Context(const WriterResolver& resolver) const {
  return {fleet_id, &places, resolver, absl::Now()};
}

NetworkOptions TestFleet::Options() const {
  NetworkOptions options;
  options.fleet_id = fleet_id;
  options.keys = keys;
  options.place_key = place_key;
  options.directory = directory;
  options.resolver = Resolver();
  options.clock = &SystemClock();
  return options;
}

TestNode::TestNode(TestFleet& fleet, int index)
    : fleet_(fleet),
      member_(fleet.MakeMember(
          records::v1::WRITER_CLASS_NODE,
          "node-" + std::to_string(index) + std::string(10, '.'))) {}

absl::Status TestNode::Open() {
  NetworkOptions options = fleet_.Options();
  options.bind_address = address_;
  options.role = NetworkRole::kNode;
  options.identity =
      NodeIdentity{member_.key.Clone(), member_.credential, member_.id};
  options.clock = clock;
  if (time_key) options.time_key = time_key->Clone();
  options.verify_node = [this](const Credential& credential, absl::Time now) {
    return fleet_.VerifyNode(credential, now);
  };
  options.hooks.on_store = [this](const VerifiedRecord& record,
                                  const std::string&) {
    if (quota && !quota(record)) return false;
    std::lock_guard lock(mutex_);
    disk_[record.digest] = absl::FromUnixSeconds(record.body.expires());
    return true;
  };
  options.hooks.on_confirm = [this](const std::string&,
                                    const std::string& digest, auto reply) {
    std::lock_guard lock(mutex_);
    const auto it = disk_.find(digest);
    if (it == disk_.end()) {
      reply(NotFound("no_record", "not here"));
    } else if (answers_receipts) {
      reply(it->second);
    } else {
      reply(Unavailable("disk_failed", "no receipts today"));
    }
  };
  options.hooks.on_grant_request = [this](const std::string& device_id,
                                          auto reply) {
    const auto it = grants.find(device_id);
    if (it == grants.end()) {
      reply(NotFound("no_grant", "none"));
    } else {
      reply(it->second);
    }
  };
  SHOAL_ASSIGN_OR_RETURN(network_, Network::Open(std::move(options)));
  address_ = network_->bound_address();
  return absl::OkStatus();
}

bool TestNode::Has(const std::string& digest) const {
  std::lock_guard lock(mutex_);
  return disk_.contains(digest);
}

size_t TestNode::stored() const {
  std::lock_guard lock(mutex_);
  return disk_.size();
}

void TestNode::Lose() {
  std::lock_guard lock(mutex_);
  disk_.clear();
}

std::vector<std::unique_ptr<TestNode>> StartNodes(TestFleet& fleet, int count) {
  std::vector<std::unique_ptr<TestNode>> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.push_back(std::make_unique<TestNode>(fleet, i));
    EXPECT_OK(nodes.back()->Open());
    auto* entry = fleet.directory.add_nodes();
    entry->set_id(nodes.back()->member().id);
    entry->set_public_key(nodes.back()->member().key.public_key());
    entry->set_dht_address(nodes.back()->address());
  }
  fleet.directory.set_version(1);
  for (auto& node : nodes) node->network().SetDirectory(fleet.directory);
  EXPECT_OK(WaitForMesh(nodes));
  return nodes;
}

absl::Status WaitForMesh(std::vector<std::unique_ptr<TestNode>>& nodes) {
  size_t open = 0;
  for (auto& node : nodes) open += node->open() ? 1 : 0;
  return ::shoal::testing::WaitFor("all nodes admitted", [&] {
    for (auto& node : nodes) {
      if (!node->open()) continue;
      const NetworkStats stats = node->network().Stats();
      if (stats.admitted_nodes + 1 < open || stats.connected_nodes + 1 < open)
        return false;
    }
    return true;
  });
}

}  // namespace shoal::dht::testing
