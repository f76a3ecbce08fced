#include "tests/integration/agent/test_plane.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/sign/builder.h"
#include "signing/verify/credential.h"
#include "signing/verify/updater.h"
#include "tests/support/process_harness.h"

namespace shoal::testing {
namespace {

// A UDP port that was free a moment ago.
std::string FreeUdpAddress() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

std::string TicketKey(const pairing::v1::ClaimTicket& ticket,
                      std::string_view what, size_t size = 32) {
  return crypto::Blake2b(ticket.secret(), what, size);
}

std::string Seal(const pairing::v1::ClaimTicket& ticket,
                 const std::string& domain, const std::string& plain) {
  const std::string nonce = crypto::RandomBytes(24);
  return nonce + crypto::AeadSeal(TicketKey(ticket, "shoal.pair.seal"), nonce,
                                  domain + ticket.fleet_id(), plain);
}

std::string PairRecord(const TestFleet& fleet, const crypto::SigningKey& key,
                       records::v1::RecordKind kind, const std::string& place,
                       const std::string& payload) {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = place;
  fields.version = 1;
  fields.issued = absl::Now();
  fields.expires = absl::Now() + absl::Hours(1);
  fields.payload = payload;
  return dht::SignRecord(fields, key, fleet.fleet_id());
}

}  // namespace

absl::StatusOr<std::unique_ptr<TestPlane>> TestPlane::Start(
    const TempDir& dir) {
  auto plane = std::unique_ptr<TestPlane>(new TestPlane());
  plane->directory_ = dir.File("plane");
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(plane->directory_));
  SHOAL_ASSIGN_OR_RETURN(plane->fleet_, TestFleet::Create(dir.File("fleet")));
  TestFleet& fleet = *plane->fleet_;
  plane->places_ =
      std::make_unique<dht::PlaceNamer>(fleet.network().place_key());
  SHOAL_ASSIGN_OR_RETURN(
      plane->origin_,
      dht::OriginServer::Open("127.0.0.1:0", fleet.repository()));
  dht::FetchOptions seeder;
  seeder.program = BinPath("shoal-fetch");
  seeder.state_dir = plane->directory_ + "/swarm";
  SHOAL_ASSIGN_OR_RETURN(plane->seeder_,
                         dht::FetchProcess::Open(std::move(seeder)));
  plane->dht_address_ = FreeUdpAddress();
  crypto::SigningKey key = crypto::SigningKey::Generate();
  fleet::v1::EnrollNodeRequest enroll;
  enroll.set_node_id("node-0");
  enroll.set_public_key(key.public_key());
  enroll.set_signature(key.Sign(crypto::SigningInput(
      "shoal.node.enroll.v1", fleet.fleet_id(), "node-0")));
  enroll.set_dht_address(plane->dht_address_);
  enroll.set_http_address(plane->origin_->address());
  enroll.set_swarm_address(plane->seeder_->swarm_address());
  SHOAL_ASSIGN_OR_RETURN(const auto bundle, fleet.EnrollNode(enroll));
  SHOAL_RETURN_IF_ERROR(plane->RefreshTrust());

  dht::NetworkOptions network;
  network.bind_address = plane->dht_address_;
  network.fleet_id = fleet.fleet_id();
  network.keys = {fleet.network().keys().begin(), fleet.network().keys().end()};
  pairing::v1::NetworkKey bootstrap;
  bootstrap.set_epoch(0);
  bootstrap.set_key(fleet.bootstrap_key());
  network.keys.push_back(bootstrap);
  network.place_key = fleet.network().place_key();
  network.directory = fleet.directory();
  network.role = dht::NetworkRole::kNode;
  network.resolver = agent::MakeResolver(plane->holder_);
  network.clock = &SystemClock();
  records::v1::CredentialBody body;
  body.ParseFromString(bundle.credential().body());
  network.identity =
      dht::NodeIdentity{std::move(key), bundle.credential(), body.subject_id()};
  network.verify_node = [](const records::v1::Credential&, absl::Time) {
    return absl::OkStatus();
  };
  TestPlane* self = plane.get();
  network.hooks.on_store = [self](const dht::VerifiedRecord& record,
                                  const std::string&) {
    std::lock_guard lock(self->mutex_);
    self->received_.emplace(record.digest, record);
    return true;
  };
  network.hooks.on_confirm =
      [self](const std::string&, const std::string& digest,
             std::function<void(absl::StatusOr<absl::Time>)> reply) {
        bool here = false;
        {
          std::lock_guard lock(self->mutex_);
          here = self->received_.contains(digest);
        }
        if (here)
          reply(absl::Now() + absl::Hours(1));
        else
          reply(NotFound("missing", "not here"));
      };
  SHOAL_ASSIGN_OR_RETURN(plane->network_,
                         dht::Network::Open(std::move(network)));
  return plane;
}

TestPlane::~TestPlane() { network_.reset(); }

absl::Status TestPlane::RefreshTrust() {
  signing::UpdaterOptions options;
  options.directory = directory_ + "/metadata";
  options.fleet_id = fleet_->fleet_id();
  SHOAL_ASSIGN_OR_RETURN(
      auto updater,
      signing::Updater::Open(options, RealFileSystem(), SystemClock()));
  signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
  SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
  SHOAL_ASSIGN_OR_RETURN(auto trust,
                         signing::BuildFleetTrust(*updater, &source));
  SHOAL_ASSIGN_OR_RETURN(
      auto view, agent::MakeTrustView(std::move(trust), absl::UnixEpoch()));
  holder_->Set(std::move(view));
  return absl::OkStatus();
}

absl::Status TestPlane::Store(const std::string& record) {
  std::mutex mutex;
  std::optional<absl::Status> done;
  network_->StoreLocal(record, [&](absl::Status status) {
    std::lock_guard lock(mutex);
    done = std::move(status);
  });
  SHOAL_RETURN_IF_ERROR(WaitFor("a record is stored", [&] {
    std::lock_guard lock(mutex);
    return done.has_value();
  }));
  return *done;
}

absl::Status TestPlane::Publish() {
  SHOAL_RETURN_IF_ERROR(fleet_->Publish());
  SHOAL_RETURN_IF_ERROR(RefreshTrust());
  SHOAL_ASSIGN_OR_RETURN(const auto records, fleet_->PublicationRecords());
  for (const std::string& record : records)
    SHOAL_RETURN_IF_ERROR(Store(record));
  return absl::OkStatus();
}

absl::StatusOr<TestImage> TestPlane::Release(const std::string& version,
                                             uint64_t counter,
                                             std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(
      TestImage image, fleet_->AddImage("gateway", version, counter, 0, bytes));
  dht::SeedJob job;
  job.artifact = {image.info.file_root,
                  static_cast<uint32_t>(image.info.piece_length),
                  image.target.length, image.target.sha256};
  job.path = image.blob_path;
  SHOAL_RETURN_IF_ERROR(seeder_->Seed(std::move(job), nullptr));
  return image;
}

rollout::v1::RolloutDocument TestPlane::Rollout(const std::string& id,
                                                const TestImage& image) {
  rollout::v1::RolloutDocument d = fleet_->RolloutToAll(id, image);
  d.set_order(image.info.counter);
  return d;
}

absl::Status TestPlane::AddRollout(
    const rollout::v1::RolloutDocument& document) {
  return fleet_->AddDocument("director/gateway/rollout/" + document.id(),
                             document.SerializeAsString());
}

absl::Status TestPlane::AllowInstall(std::vector<policy::v1::Rule> more) {
  policy::v1::AccessPolicy policy = fleet_->policy();
  policy.set_version(policy.version() + 1);
  policy.clear_rules();
  auto* rule = policy.add_rules();
  rule->set_name("install");
  rule->add_principals("director");
  rule->add_actions("update.install");
  rule->mutable_devices()->set_all(true);
  for (const policy::v1::Rule& one : more) *policy.add_rules() = one;
  return fleet_->SetPolicy(policy);
}

absl::StatusOr<std::string> TestPlane::Ticket(absl::Duration lifetime) {
  ticket_.Clear();
  ticket_.set_secret(crypto::RandomBytes(16));
  ticket_.set_fleet_id(fleet_->fleet_id());
  ticket_.add_endpoints(dht_address_);
  ticket_.set_bootstrap_key(fleet_->bootstrap_key());
  ticket_.set_expires(absl::ToUnixSeconds(absl::Now() + lifetime));
  const std::string place = TicketKey(ticket_, "shoal.pair.place", 20);
  SHOAL_ASSIGN_OR_RETURN(const auto claim,
                         crypto::SigningKey::FromSeed(crypto::SecretBytes(
                             TicketKey(ticket_, "shoal.pair.claim"))));
  records::v1::CredentialBody body;
  body.set_public_key(claim.public_key());
  body.set_subject_id(place.substr(0, 16));
  body.set_kind(records::v1::WRITER_CLASS_CLAIM);
  body.set_not_after(ticket_.expires());
  body.set_serial(1);
  pairing::v1::Offer offer;
  offer.set_nonce(crypto::RandomBytes(16));
  offer.set_device_type("gateway");
  SHOAL_ASSIGN_OR_RETURN(
      *offer.mutable_claim_credential(),
      signing::IssueCredential(fleet_->device_ca(), fleet_->fleet_id(), body));
  offer_ = PairRecord(
      *fleet_, fleet_->director_key(), records::v1::RECORD_KIND_PAIR_OFFER,
      place, Seal(ticket_, "shoal.pair.offer.v1", offer.SerializeAsString()));
  SHOAL_RETURN_IF_ERROR(Store(offer_));
  return "SHOAL1-" + Base32Encode(ticket_.SerializeAsString());
}

absl::Status TestPlane::Grant(const crypto::SigningKey& director) {
  const std::string place = TicketKey(ticket_, "shoal.pair.place", 20);
  std::optional<dht::VerifiedRecord> record;
  SHOAL_RETURN_IF_ERROR(WaitFor("the device's answer", [&] {
    for (const auto& one : Received(records::v1::RECORD_KIND_PAIR_ANSWER))
      if (one.body.place() == place) record = one;
    return record.has_value();
  }));
  const std::string& sealed = record->body.payload();
  SHOAL_ASSIGN_OR_RETURN(
      const std::string plain,
      crypto::AeadOpen(
          TicketKey(ticket_, "shoal.pair.seal"), sealed.substr(0, 24),
          "shoal.pair.answer.v1" + ticket_.fleet_id(), sealed.substr(24)));
  pairing::v1::Answer answer;
  answer.ParseFromString(plain);
  if (answer.offer_digest() != dht::RecordDigest(offer_))
    return PermissionDenied("bad_answer", "to another offer");
  device_id_ = crypto::RandomBytes(16);
  records::v1::CredentialBody body;
  body.set_public_key(answer.device_key());
  body.set_subject_id(device_id_);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
  body.set_serial(2);
  pairing::v1::Grant grant;
  grant.set_answer_digest(record->digest);
  grant.set_device_id(device_id_);
  SHOAL_ASSIGN_OR_RETURN(
      *grant.mutable_credential(),
      signing::IssueCredential(fleet_->device_ca(), fleet_->fleet_id(), body));
  *grant.mutable_network() = fleet_->network();
  *grant.mutable_directory() = fleet_->directory();
  grant.mutable_assignment()->set_device_id(device_id_);
  grant.mutable_assignment()->set_version(1);
  grant.mutable_assignment()->set_device_type("gateway");
  SHOAL_ASSIGN_OR_RETURN(
      const std::string box,
      crypto::SealTo(answer.box_key(), grant.SerializeAsString()));
  return Store(PairRecord(*fleet_, director,
                          records::v1::RECORD_KIND_PAIR_GRANT, place,
                          Seal(ticket_, "shoal.pair.grant.v1", box)));
}

std::vector<dht::VerifiedRecord> TestPlane::Received(
    records::v1::RecordKind kind) {
  std::lock_guard lock(mutex_);
  std::vector<dht::VerifiedRecord> records;
  for (const auto& [digest, record] : received_)
    if (record.body.kind() == kind) records.push_back(record);
  return records;
}

}  // namespace shoal::testing
