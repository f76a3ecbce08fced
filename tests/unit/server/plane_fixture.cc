#include "tests/unit/server/plane_fixture.h"

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/fleet/pairing_crypto.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/image_info.h"
#include "signing/sign/builder.h"

namespace shoal::server {
namespace {

constexpr char kPolicy[] = R"({"version":"1","operators":[{"name":"ann",
"publicKey":"%KEY%","tlsSpkiSha256":"%TLS%","roles":["admin"]},
{"name":"bob","publicKey":"%BOB%","tlsSpkiSha256":"%BOB%","roles":["admin"]}],
"rules":[{"name":"all","principals":["role:admin"],"actions":["*"]},
{"name":"read","principals":["role:admin"],"actions":["telemetry.read"],
"devices":{"all":true}}]})";

std::string Replace(std::string text, const std::string& what,
                    const std::string& with) {
  text.replace(text.find(what), what.size(), with);
  return text;
}

}  // namespace

RepositoryChange PlaneTest::OfflineRepository() {
  const absl::Time expires = clock_.WallNow() + absl::Hours(24 * 365);
  signing::Root root;
  root.version = 1;
  root.expires = expires;
  const auto add = [&](const std::string& role, const std::string& key) {
    const signing::Key added = signing::MakeEd25519Key(key);
    root.keys[added.id] = added;
    root.roles[role].key_ids = {added.id};
  };
  add("root", root_.public_key());
  add("targets", targets_.public_key());
  add("snapshot", keys_->snapshot.public_key());
  add("timestamp", keys_->timestamp.public_key());

  signing::Targets targets;
  targets.version = 1;
  targets.expires = expires;
  signing::Delegations delegations;
  const auto delegate = [&](const std::string& name, const std::string& key,
                            bool terminating, const std::string& path) {
    const signing::Key added = signing::MakeEd25519Key(key);
    delegations.keys[added.id] = added;
    signing::DelegatedRole role;
    role.name = name;
    role.keys.key_ids = {added.id};
    role.terminating = terminating;
    role.paths = {path};
    delegations.roles.push_back(role);
  };
  delegate("fw-gateway", fw_.public_key(), true, "fw/gateway/*/*");
  delegate("policy", policy_key_.public_key(), true, "policy/*");
  delegate("director", keys_->director.public_key(), false, "director/*/*/*");
  targets.delegations = delegations;
  targets.fleet_keys = signing::FleetKeys{{keys_->device_ca.public_key()},
                                          {keys_->node_ca.public_key()},
                                          keys_->telemetry.public_key(),
                                          {}};
  std::string policy_json =
      Replace(Replace(kPolicy, "%KEY%", HexEncode(operator_.public_key())),
              "%TLS%", std::string(64, 'a'));
  // Nobody holds bob's keys: he is who else may approve.
  for (int i = 0; i < 2; ++i)
    policy_json = Replace(policy_json, "%BOB%", std::string(64, 'b'));
  signing::Targets policy;
  policy.version = 1;
  policy.expires = expires;
  signing::TargetFile file;
  file.path = signing::kPolicyPath;
  file.length = policy_json.size();
  file.sha256 = crypto::Sha256Digest(policy_json);
  policy.targets[file.path] = file;

  RepositoryChange change;
  change.metadata["1.root.json"] = *signing::SignRoot(root, {&root_});
  change.metadata["1.targets.json"] =
      *signing::SignTargets(targets, {&targets_});
  change.metadata["1.policy.json"] =
      *signing::SignTargets(policy, {&policy_key_});
  change.metadata["1.fw-gateway.json"] = SignFw(1, {}, fw_);
  change.documents[signing::kPolicyPath] = policy_json;
  return change;
}

std::string PlaneTest::SignFw(
    uint64_t version,
    const std::vector<std::pair<std::string, std::string>>& images,
    const crypto::SigningKey& key) {
  signing::Targets targets;
  targets.version = version;
  targets.expires = clock_.WallNow() + absl::Hours(24 * 365);
  uint64_t counter = 0;
  for (const auto& [text, bytes] : images) {
    signing::FileRootHasher hasher;
    hasher.Update(bytes);
    signing::ImageInfo info;
    info.device_type = "gateway";
    info.version = text;
    info.artifact = "image";
    info.counter = ++counter;
    info.file_root = hasher.Finish();
    info.piece_length = signing::PieceLength(bytes.size());
    signing::TargetFile file;
    file.path = signing::ImagePath("gateway", text, "image");
    file.length = bytes.size();
    file.sha256 = crypto::Sha256Digest(bytes);
    file.custom = signing::FormatImageInfo(info);
    targets.targets[file.path] = file;
  }
  return *signing::SignTargets(targets, {&key});
}

void PlaneTest::SetUp() {
  ASSERT_OK(InitPlane({.directory = dir_.File("plane"), .fleet = "test"},
                      RealFileSystem(), clock_));
  ASSERT_OK_AND_ASSIGN(PlaneKeys keys,
                       LoadPlaneKeys(dir_.File("plane"), RealFileSystem()));
  keys_ = std::make_unique<PlaneKeys>(std::move(keys));
  kv::StoreOptions options;
  options.in_memory = true;
  ASSERT_OK_AND_ASSIGN(auto kv, kv::Store::Open("/plane-test", options));
  ASSERT_OK_AND_ASSIGN(store_, Store::Open(std::move(kv), clock_));
  ASSERT_OK_AND_ASSIGN(trust_, TrustRepository::Open(*store_, *keys_, clock_,
                                                     absl::Hours(24 * 7)));
  ASSERT_OK(trust_->Apply(OfflineRepository(), nullptr));
  ASSERT_OK_AND_ASSIGN(blobs_,
                       Blobs::Open(dir_.File("plane"), RealFileSystem()));
  writer_ =
      std::make_unique<RecordWriter>(*keys_, trust_->View()->fleet.fleet_id);
  ASSERT_OK_AND_ASSIGN(writers_, Writers::Open(*store_, *trust_));
  nodes_ = std::make_unique<Nodes>(*store_, *keys_, *writer_, *trust_,
                                   *writers_, std::string(32, 't'));
  ASSERT_OK_AND_ASSIGN(changes_, DeviceChanges::Open(*store_, *writer_));
  groups_ = std::make_unique<Groups>(*store_, *changes_);
  devices_ = std::make_unique<Devices>(*store_, *writer_, *writers_);
  enrolment_ = std::make_unique<Enrolment>(*store_, *keys_, *writer_, *trust_,
                                           *devices_, *nodes_, *writers_,
                                           EnrolmentOptions{.max_pending = 3});
  pairing_ = std::make_unique<Pairing>(*store_, *keys_, *writer_, *nodes_,
                                       *enrolment_);
  publisher_ = std::make_unique<Publisher>(
      *store_, *writer_, *trust_, absl::Hours(1),
      [](std::string, dht::Network::PutCallback) {}, [] { return 1; });
  releases_ =
      std::make_unique<Releases>(*store_, *trust_, *publisher_, *blobs_);
  deltas_ = std::make_unique<Deltas>(*store_, *blobs_, *releases_);
  rollouts_ = std::make_unique<Rollouts>(*store_, *writer_, *trust_, *releases_,
                                         *deltas_, *devices_);
  changes_->OnFacts([this](Transaction& tx, const store::DeviceRow& before,
                           const store::DeviceRow& after) {
    return rollouts_->KeepPhases(tx, before, after);
  });
  telemetry_ = std::make_unique<Telemetry>(*store_, keys_->telemetry);
  intake_ = std::make_unique<Intake>(*store_, writer_->fleet_id(),
                                     writer_->places(), writers_->Resolver());
  intake_->Handle(records::v1::RECORD_KIND_PAIR_ANSWER,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return pairing_->OnAnswer(tx, record);
                  });
  intake_->Handle(records::v1::RECORD_KIND_PAIR_REQUEST,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return enrolment_->OnRequest(tx, record);
                  });
  intake_->Handle(records::v1::RECORD_KIND_OUTCOME,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return rollouts_->OnOutcome(tx, record);
                  });
  intake_->Handle(records::v1::RECORD_KIND_HALT,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return rollouts_->OnHalt(tx, record);
                  });
  intake_->Handle(records::v1::RECORD_KIND_TELEMETRY,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return telemetry_->OnRecord(tx, record);
                  });
  driver_ = std::make_unique<RolloutDriver>(
      *store_, *rollouts_, *releases_, *deltas_, *devices_, *trust_,
      *publisher_, [this](const std::vector<std::string>&) {
        return RolloutDriver::Mirrors{mirrors_, 2};
      });
}

store::ReleaseRow PlaneTest::MakeRelease(const std::string& version,
                                         const std::string& bytes) {
  images_.emplace_back(version, bytes);
  release::v1::CreateReleaseHeader header;
  header.set_device_type("gateway");
  header.set_version(version);
  header.set_metadata(SignFw(++fw_version_, images_, fw_));
  auto upload = releases_->Begin(header, "operator:ann");
  EXPECT_OK(upload);
  EXPECT_OK((*upload)->Append(bytes));
  EXPECT_OK((*upload)->Finish());
  return *releases_->Row("releases/gateway/" + version);
}

void PlaneTest::EnrollNode(const std::string& name) {
  const crypto::SigningKey key = crypto::SigningKey::Generate();
  fleet::v1::EnrollNodeRequest request;
  request.set_node_id(name);
  request.set_public_key(key.public_key());
  request.set_signature(key.Sign(
      crypto::SigningInput("shoal.node.enroll.v1", writer_->fleet_id(), name)));
  request.set_dht_address("127.0.0.1:4001");
  request.set_grpc_address("127.0.0.1:4002");
  request.set_tls_spki_sha256(std::string(32, 'n'));
  ASSERT_OK(nodes_->Enroll(request, "operator:ann"));
}

pairing::v1::ClaimTicket PlaneTest::MakeTicket(bool hold) {
  fleet::v1::CreateClaimTicketRequest request;
  request.set_hold(hold);
  request.set_device_type("gateway");
  (*request.mutable_labels())["site"] = "north";
  auto response = pairing_->CreateTicket(request, "operator:ann");
  EXPECT_OK(response);
  pairing::v1::ClaimTicket ticket;
  EXPECT_TRUE(
      ticket.ParseFromString(*Base32Decode(response->ticket().substr(7))));
  return ticket;
}

std::string PlaneTest::Answer(const pairing::v1::ClaimTicket& ticket,
                              const TestDevice& device) {
  const std::string place = PairingPlace(ticket.secret());
  auto row = store_->Get<store::TicketRow>(kTickets, HexEncode(place));
  EXPECT_OK(row);
  records::v1::Record offer_record;
  records::v1::RecordBody body;
  EXPECT_TRUE(offer_record.ParseFromString(row->offer_record()));
  EXPECT_TRUE(body.ParseFromString(offer_record.body()));
  auto plain = PairingOpen(ticket.secret(), kOfferDomain, ticket.fleet_id(),
                           body.payload());
  EXPECT_OK(plain);
  pairing::v1::Offer offer;
  EXPECT_TRUE(offer.ParseFromString(*plain));
  pairing::v1::Answer answer;
  answer.set_offer_digest(dht::RecordDigest(row->offer_record()));
  answer.set_device_key(device.key.public_key());
  answer.set_box_key(device.box.public_key());
  answer.set_device_type("gateway");
  answer.set_nonce(crypto::RandomBytes(16));
  (*answer.mutable_inventory())["os"] = "linux";
  (*answer.mutable_inventory())["arch"] = "arm64";
  answer.set_device_signature(
      device.key.Sign(AnswerSigningInput(answer, ticket.fleet_id())));
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
  fields.place = place;
  fields.version = 1;
  fields.issued = clock_.WallNow();
  fields.expires = absl::FromUnixSeconds(ticket.expires());
  fields.payload = PairingSeal(ticket.secret(), kAnswerDomain,
                               ticket.fleet_id(), answer.SerializeAsString());
  fields.credential = offer.claim_credential();
  return dht::SignRecord(fields, *PairingClaimKey(ticket.secret()),
                         ticket.fleet_id());
}

void PlaneTest::Pair(TestDevice& device) {
  const auto ticket = MakeTicket();
  ASSERT_OK(Take({Answer(ticket, device)}));
  auto row = store_->Get<store::TicketRow>(
      kTickets, HexEncode(PairingPlace(ticket.secret())));
  ASSERT_OK(row);
  ASSERT_EQ(row->state(), store::TicketRow::STATE_USED);
  device.id = row->device_id();
  device.credential =
      store_->Get<store::DeviceRow>(kDevices, HexEncode(device.id))
          ->credential();
}

std::string PlaneTest::DeviceRecord(const TestDevice& device,
                                    dht::RecordKind kind,
                                    const std::string& place, uint64_t version,
                                    const std::string& payload) {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = place;
  fields.version = version;
  fields.issued = clock_.WallNow();
  fields.expires = clock_.WallNow() + absl::Hours(24);
  fields.payload = payload;
  fields.credential = device.credential;
  return dht::SignRecord(fields, device.key, writer_->fleet_id());
}

std::string PlaneTest::OutcomeRecord(const TestDevice& device,
                                     const std::string& rollout,
                                     records::v1::OutcomeResult result,
                                     const std::string& running_sha256,
                                     uint64_t counter) {
  records::v1::Outcome outcome;
  outcome.set_rollout_id(rollout);
  outcome.set_device_id(device.id);
  outcome.set_result(result);
  outcome.set_reason(result == records::v1::OUTCOME_RESULT_SUCCESS ? "ok"
                                                                   : "sick");
  outcome.set_running_sha256(running_sha256);
  outcome.set_counter(counter);
  return DeviceRecord(device, records::v1::RECORD_KIND_OUTCOME,
                      writer_->places().Outcome(rollout, device.id, 1), counter,
                      outcome.SerializeAsString());
}

std::string PlaneTest::HaltRecord(const crypto::SigningKey& key,
                                  const std::string& rollout) {
  records::v1::Halt halt;
  halt.set_rollout_id(rollout);
  halt.set_counter(1);
  halt.set_reason("smoke");
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_HALT;
  fields.place = writer_->places().Halt("gateway");
  fields.version = 1;
  fields.issued = clock_.WallNow();
  fields.expires = clock_.WallNow() + absl::Hours(24);
  fields.payload = halt.SerializeAsString();
  return dht::SignRecord(fields, key, writer_->fleet_id());
}

void PlaneTest::ReadReports() {
  intake_->Handle(records::v1::RECORD_KIND_DEVICE_REPORT,
                  [this](Transaction& tx, const dht::VerifiedRecord& record) {
                    return devices_->OnReport(tx, record);
                  });
}

absl::Status PlaneTest::Take(const std::vector<std::string>& records) {
  return intake_->Take(records, {});
}

std::vector<dht::RecordBody> PlaneTest::Outbox(dht::RecordKind kind) {
  std::vector<dht::RecordBody> bodies;
  EXPECT_OK(store_->Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view, const store::OutboxRow& row) {
        records::v1::Record record;
        dht::RecordBody body;
        EXPECT_TRUE(record.ParseFromString(row.record()));
        EXPECT_TRUE(body.ParseFromString(record.body()));
        if (body.kind() == kind) bodies.push_back(body);
        return true;
      }));
  return bodies;
}

void PlaneTest::EmptyOutbox() {
  std::vector<std::string> keys;
  ASSERT_OK(store_->ScanRaw(kOutbox, "", "",
                            [&](std::string_view key, std::string_view) {
                              keys.emplace_back(key);
                              return true;
                            }));
  Transaction tx(*store_);
  for (const std::string& key : keys) tx.Delete(kOutbox, key);
  auto head = tx.Get<store::HeadRow>(kMeta, "head");
  if (head.ok()) {
    head->set_pending(false);
    tx.Put(kMeta, "head", *head);
  }
  ASSERT_OK(tx.Commit());
}

}  // namespace shoal::server
