#include "server/fleet/enrolment.h"

#include <cctype>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "server/fleet/pairing_crypto.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "signing/sign/builder.h"
#include "signing/verify/entry_credential.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class EnrolmentTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    EnrollNode("n1");
  }
  pairing::v1::BootstrapFile Bootstrap(const std::string& type = "gateway") {
    fleet::v1::CreateBootstrapFileRequest request;
    request.set_device_type(type);
    auto made = enrolment_->CreateBootstrapFile(request, "operator:ann");
    EXPECT_OK(made);
    pairing::v1::BootstrapFile file;
    EXPECT_TRUE(file.ParseFromString(*Base32Decode(made->file().substr(8))));
    return file;
  }
  // As a device makes it, by the door of `file`.
  records::v1::Credential Applicant(const TestDevice& device,
                                    const pairing::v1::BootstrapFile& file) {
    records::v1::CredentialBody body;
    body.set_public_key(device.key.public_key());
    body.set_subject_id(signing::KeySubject(device.key.public_key()));
    body.set_kind(records::v1::WRITER_CLASS_APPLICANT);
    body.set_not_after(file.expires());
    *body.mutable_door() = file.door();
    std::string seed = file.door_seed();
    const auto door =
        crypto::SigningKey::FromSeed(crypto::SecretBytes::TakeFrom(seed));
    records::v1::Credential credential;
    credential.set_body(body.SerializeAsString());
    credential.set_signature(door->Sign(crypto::SigningInput(
        "shoal.credential.v1", writer_->fleet_id(), credential.body())));
    return credential;
  }
  records::v1::Credential Factory(const TestDevice& device,
                                  const std::string& serial,
                                  const crypto::SigningKey& manufacturer) {
    records::v1::CredentialBody body;
    body.set_public_key(device.key.public_key());
    body.set_subject_id(signing::KeySubject(device.key.public_key()));
    body.set_kind(records::v1::WRITER_CLASS_FACTORY);
    body.set_serial_number(serial);
    body.set_device_type("gateway");
    records::v1::Credential credential;
    credential.set_body(body.SerializeAsString());
    credential.set_signature(
        manufacturer.Sign(signing::FactorySigningInput(credential.body())));
    return credential;
  }
  pairing::v1::PairRequest RequestOf(const TestDevice& device) {
    pairing::v1::PairRequest request;
    request.set_device_key(device.key.public_key());
    request.set_box_key(device.box.public_key());
    request.set_device_type("gateway");
    request.set_nonce(crypto::RandomBytes(16));
    return request;
  }
  std::string Record(const TestDevice& device,
                     const records::v1::Credential& credential,
                     const pairing::v1::PairRequest& request,
                     uint64_t version = 1) {
    dht::RecordFields fields;
    fields.kind = records::v1::RECORD_KIND_PAIR_REQUEST;
    fields.place =
        dht::PairRequestPlace(device.key.public_key(), writer_->fleet_id());
    fields.version = version;
    fields.issued = clock_.WallNow();
    fields.expires = clock_.WallNow() + absl::Hours(24);
    fields.payload = request.SerializeAsString();
    fields.credential = credential;
    return dht::SignRecord(fields, device.key, writer_->fleet_id());
  }
  std::string Ask(const TestDevice& device,
                  const records::v1::Credential& credential) {
    return Record(device, credential, RequestOf(device));
  }
  fleet::v1::Device Only(fleet::v1::EnrolmentState state) {
    fleet::v1::ListDevicesRequest request;
    request.add_states(state);
    auto page = devices_->List(request);
    EXPECT_OK(page);
    EXPECT_EQ(page->devices.size(), 1u);
    return page->devices.empty() ? fleet::v1::Device() : page->devices[0];
  }
  // The newest answer at `place`, opened by the device.
  pairing::v1::Grant Answered(const TestDevice& device) {
    const std::string place =
        dht::PairRequestPlace(device.key.public_key(), writer_->fleet_id());
    pairing::v1::Grant grant;
    uint64_t newest = 0;
    for (const auto& body : Outbox(records::v1::RECORD_KIND_PAIR_GRANT)) {
      if (body.place() != place || body.version() <= newest) continue;
      newest = body.version();
      auto plain = device.box.Open(body.payload());
      EXPECT_OK(plain);
      EXPECT_TRUE(grant.ParseFromString(*plain));
    }
    EXPECT_GT(newest, 0u);
    return grant;
  }
  fleet::v1::AcceptDeviceRequest AcceptOf(const fleet::v1::Device& device,
                                          const std::string& fingerprint) {
    fleet::v1::AcceptDeviceRequest request;
    request.set_name(device.name());
    request.set_fingerprint(fingerprint);
    return request;
  }
  // Offline: targets names the manufacturer from now on.
  void Trust(const crypto::SigningKey& manufacturer) {
    const auto metadata = trust_->View()->metadata;
    auto parsed = signing::ParseTargets(metadata.at("1.targets.json"));
    ASSERT_OK(parsed);
    signing::Targets targets = parsed->value;
    targets.version = 2;
    targets.fleet_keys->manufacturers = {
        {"acme", manufacturer.public_key(), {"gateway"}}};
    RepositoryChange change;
    change.metadata["2.targets.json"] =
        *signing::SignTargets(targets, {&targets_});
    ASSERT_OK(trust_->Apply(change, nullptr));
  }
};

TEST_F(EnrolmentTest, T50_AHeldTicketWaitsForAnOperator) {
  const auto ticket = MakeTicket(/*hold=*/true);
  TestDevice device;
  const std::string answer = Answer(ticket, device);
  ASSERT_OK(Take({answer}));
  const auto waiting = Only(fleet::v1::ENROLMENT_STATE_PENDING);
  EXPECT_EQ(waiting.origin(), "ticket");
  EXPECT_EQ(waiting.fingerprint(),
            signing::FingerprintOf(device.key.public_key()));
  EXPECT_TRUE(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).empty());
  const auto told = Outbox(records::v1::RECORD_KIND_PAIR_GRANT);
  ASSERT_EQ(told.size(), 1u);
  ASSERT_OK_AND_ASSIGN(std::string sealed,
                       PairingOpen(ticket.secret(), kGrantDomain,
                                   ticket.fleet_id(), told[0].payload()));
  pairing::v1::Grant grant;
  ASSERT_TRUE(grant.ParseFromString(*device.box.Open(sealed)));
  EXPECT_EQ(grant.verdict(), pairing::v1::VERDICT_PENDING);
  EXPECT_TRUE(grant.network().keys().empty()) << "no key before it is let in";
  EXPECT_EQ(grant.answer_digest(), dht::RecordDigest(answer));

  EXPECT_THAT(enrolment_->Accept(AcceptOf(waiting, "AAAA"), "operator:ann"),
              FailsBecause("wrong_fingerprint"));
  ASSERT_OK_AND_ASSIGN(
      auto accepted, enrolment_->Accept(AcceptOf(waiting, ""), "operator:ann"));
  EXPECT_EQ(accepted.state(), fleet::v1::ENROLMENT_STATE_ACCEPTED);
  EXPECT_EQ(accepted.labels().at("site"), "north");
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_PAIR_GRANT).back().version(), 2u);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 1u);
  EXPECT_THAT(enrolment_->Accept(AcceptOf(waiting, ""), "operator:ann"),
              FailsBecause("not_pending"));
}

TEST_F(EnrolmentTest, T51_AStrangerIsAcceptedByItsFingerprintOnly) {
  const auto file = Bootstrap();
  TestDevice device;
  const auto request = RequestOf(device);
  ASSERT_OK(Take({Record(device, Applicant(device, file), request)}));
  const auto waiting = Only(fleet::v1::ENROLMENT_STATE_PENDING);
  EXPECT_EQ(waiting.origin(), "first_use");
  EXPECT_EQ(Answered(device).verdict(), pairing::v1::VERDICT_PENDING);
  EXPECT_THAT(enrolment_->Accept(AcceptOf(waiting, ""), "operator:ann"),
              FailsBecause("fingerprint_required"));
  TestDevice other;
  EXPECT_THAT(
      enrolment_->Accept(
          AcceptOf(waiting, signing::FingerprintOf(other.key.public_key())),
          "operator:ann"),
      FailsBecause("wrong_fingerprint"));
  // As somebody types it.
  std::string typed = signing::FingerprintOf(device.key.public_key());
  for (char& c : typed) c = static_cast<char>(std::tolower(c));
  typed.insert(9, " ");
  ASSERT_OK(enrolment_->Accept(AcceptOf(waiting, typed), "operator:ann"));
  const auto grant = Answered(device);
  EXPECT_EQ(grant.verdict(), pairing::v1::VERDICT_UNSPECIFIED);
  EXPECT_EQ(grant.answer_digest(),
            crypto::Sha256Digest(request.SerializeAsString()));
  EXPECT_EQ(grant.network().keys_size(), 1);
  EXPECT_EQ(HexEncode(grant.device_id()), waiting.name().substr(8));
}

TEST_F(EnrolmentTest, T51_ARequestForAnotherKeyOrByAnotherDoorIsRefused) {
  const auto file = Bootstrap();
  TestDevice device;
  TestDevice victim;
  auto request = RequestOf(device);
  request.set_device_key(victim.key.public_key());
  ASSERT_OK(Take({Record(device, Applicant(device, file), request)}));
  // A door that the fleet's CA never made.
  auto forged = file;
  const crypto::SigningKey ca = crypto::SigningKey::Generate();
  records::v1::CredentialBody door;
  ASSERT_TRUE(door.ParseFromString(file.door().body()));
  *forged.mutable_door() =
      *signing::IssueCredential(ca, writer_->fleet_id(), door);
  ASSERT_OK(Take({Ask(device, Applicant(device, forged))}));
  // A credential whose door is good but whose key did not sign it.
  auto stolen = Applicant(device, file);
  stolen.set_signature(std::string(64, 's'));
  ASSERT_OK(Take({Ask(device, stolen)}));
  // Another type than the file is for.
  const auto cameras = Bootstrap("camera");
  ASSERT_OK(Take({Ask(device, Applicant(device, cameras))}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
  // A door is good for asking and for nothing else.
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_DEVICE_REPORT;
  fields.place = writer_->places().DeviceReport(
      signing::KeySubject(device.key.public_key()));
  fields.version = 1;
  fields.issued = clock_.WallNow();
  fields.expires = clock_.WallNow() + absl::Hours(1);
  fields.credential = Applicant(device, file);
  EXPECT_THAT(dht::VerifyRecord(
                  dht::SignRecord(fields, device.key, writer_->fleet_id()),
                  {.fleet_id = writer_->fleet_id(),
                   .places = &writer_->places(),
                   .resolver = writers_->Resolver(),
                   .now = clock_.WallNow()}),
              FailsBecause("wrong_writer"));
}

TEST_F(EnrolmentTest, ARejectedDeviceIsToldAndCanBeOpenedAgain) {
  const auto file = Bootstrap();
  TestDevice device;
  ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  const auto waiting = Only(fleet::v1::ENROLMENT_STATE_PENDING);
  fleet::v1::RejectDeviceRequest reject;
  reject.set_name(waiting.name());
  reject.set_reason("not ours");
  ASSERT_OK(enrolment_->Reject(reject, "operator:ann"));
  EXPECT_EQ(Answered(device).verdict(), pairing::v1::VERDICT_REJECTED);
  EXPECT_EQ(Answered(device).reason(), "not ours");
  // Asking again changes nothing.
  ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  EXPECT_EQ(Only(fleet::v1::ENROLMENT_STATE_REJECTED).name(), waiting.name());
  EXPECT_THAT(devices_->Decommission(waiting.name(), "", "operator:ann"),
              FailsBecause("not_accepted"));
  ASSERT_OK(enrolment_->Accept(
      AcceptOf(waiting, signing::FingerprintOf(device.key.public_key())),
      "operator:ann"));
  EXPECT_EQ(Answered(device).verdict(), pairing::v1::VERDICT_UNSPECIFIED);
}

TEST_F(EnrolmentTest, T50_TheListOfWaitingDevicesIsBounded) {
  const auto file = Bootstrap();
  std::vector<TestDevice> crowd(5);  // the fixture allows three
  for (const TestDevice& device : crowd) {
    ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  }
  fleet::v1::ListDevicesRequest pending;
  pending.add_states(fleet::v1::ENROLMENT_STATE_PENDING);
  EXPECT_EQ(devices_->List(pending)->devices.size(), 3u);
  // Whoever asks no more is forgotten, and there is room.
  clock_.Advance(absl::Hours(24 * 6));
  ASSERT_OK(enrolment_->Expire());
  EXPECT_EQ(devices_->List(pending)->devices.size(), 3u);
  ASSERT_OK(Take({Ask(crowd[0], Applicant(crowd[0], file))}));
  clock_.Advance(absl::Hours(48));
  ASSERT_OK(enrolment_->Expire());
  EXPECT_EQ(Only(fleet::v1::ENROLMENT_STATE_PENDING).public_key(),
            HexEncode(crowd[0].key.public_key()));
  ASSERT_OK(Take({Ask(crowd[4], Applicant(crowd[4], file))}));
  EXPECT_EQ(devices_->List(pending)->devices.size(), 2u);
}

TEST_F(EnrolmentTest, T50_TooManyWrongAnswersEndATicket) {
  const auto ticket = MakeTicket();
  TestDevice device;
  const std::string place = HexEncode(PairingPlace(ticket.secret()));
  const auto wrong = [&](int n) {
    dht::RecordFields fields;
    fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
    fields.place = PairingPlace(ticket.secret());
    fields.version = 1;
    fields.issued = clock_.WallNow();
    fields.expires = clock_.WallNow() + absl::Hours(1);
    fields.payload = "guess " + std::to_string(n);
    dht::RecordBody body;
    records::v1::Record record;
    EXPECT_TRUE(record.ParseFromString(Answer(ticket, device)));
    EXPECT_TRUE(body.ParseFromString(record.body()));
    fields.credential = body.credential();
    return dht::SignRecord(fields, *PairingClaimKey(ticket.secret()),
                           ticket.fleet_id());
  };
  for (uint32_t i = 0; i < kMaxRefusedAnswers + 4; ++i) {
    ASSERT_OK(Take({wrong(static_cast<int>(i))}));
  }
  ASSERT_OK_AND_ASSIGN(auto row,
                       store_->Get<store::TicketRow>(kTickets, place));
  EXPECT_EQ(row.refused_answers(), kMaxRefusedAnswers);
  EXPECT_EQ(row.state(), store::TicketRow::STATE_EXPIRED);
  ASSERT_OK(Take({Answer(ticket, device)}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
}

TEST_F(EnrolmentTest, T51_AFactoryCredentialNeedsATrustedManufacturer) {
  const crypto::SigningKey acme = crypto::SigningKey::Generate();
  TestDevice device;
  ASSERT_OK(Take({Ask(device, Factory(device, "SN-1", acme))}));
  EXPECT_TRUE(devices_->List({})->devices.empty()) << "nobody named acme";
  Trust(acme);
  const crypto::SigningKey other = crypto::SigningKey::Generate();
  ASSERT_OK(Take({Ask(device, Factory(device, "SN-1", other))}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
  // Somebody else with this device's credential has not its key.
  TestDevice thief;
  ASSERT_OK(
      Take({Record(thief, Factory(device, "SN-1", acme), RequestOf(thief))}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
  ASSERT_OK(Take({Ask(device, Factory(device, "SN-1", acme))}));
  const auto waiting = Only(fleet::v1::ENROLMENT_STATE_PENDING);
  EXPECT_EQ(waiting.manufacturer(), "acme");
  EXPECT_EQ(waiting.serial_number(), "SN-1");
  EXPECT_OK(enrolment_->Accept(AcceptOf(waiting, ""), "operator:ann"))
      << "the manufacturer vouches for the key";
}

TEST_F(EnrolmentTest, APreauthorizedSerialNumberIsAcceptedOnce) {
  const crypto::SigningKey acme = crypto::SigningKey::Generate();
  Trust(acme);
  fleet::v1::PreauthorizeDeviceRequest request;
  request.set_device_type("gateway");
  request.set_manufacturer("nobody");
  request.set_serial_number("SN-7");
  EXPECT_THAT(enrolment_->Preauthorize(request, "operator:ann"),
              FailsBecause("unknown_manufacturer"));
  request.set_manufacturer("acme");
  (*request.mutable_labels())["site"] = "lab";
  ASSERT_OK_AND_ASSIGN(auto announced,
                       enrolment_->Preauthorize(request, "operator:ann"));
  EXPECT_EQ(announced.state(), fleet::v1::ENROLMENT_STATE_PREAUTHORIZED);
  EXPECT_THAT(enrolment_->Preauthorize(request, "operator:ann"),
              FailsBecause("already_exists"));
  TestDevice device;
  ASSERT_OK(Take({Ask(device, Factory(device, "SN-7", acme))}));
  const auto accepted = Only(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  EXPECT_EQ(accepted.name(), announced.name());
  EXPECT_EQ(accepted.labels().at("site"), "lab");
  // A second key with that serial number waits for a person.
  TestDevice twin;
  ASSERT_OK(Take({Ask(twin, Factory(twin, "SN-7", acme))}));
  EXPECT_EQ(Only(fleet::v1::ENROLMENT_STATE_PENDING).public_key(),
            HexEncode(twin.key.public_key()));
}

TEST_F(EnrolmentTest, APreauthorizedFingerprintIsAccepted) {
  const auto file = Bootstrap();
  TestDevice device;
  fleet::v1::PreauthorizeDeviceRequest request;
  request.set_device_type("gateway");
  request.set_fingerprint("nonsense");
  EXPECT_THAT(enrolment_->Preauthorize(request, "operator:ann"),
              FailsBecause("bad_request"));
  request.set_fingerprint(signing::FingerprintOf(device.key.public_key()));
  ASSERT_OK(enrolment_->Preauthorize(request, "operator:ann"));
  ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  EXPECT_EQ(Only(fleet::v1::ENROLMENT_STATE_ACCEPTED).origin(), "first_use");
  // Taken back, it is a stranger's again.
  TestDevice other;
  request.set_fingerprint(signing::FingerprintOf(other.key.public_key()));
  ASSERT_OK_AND_ASSIGN(auto announced,
                       enrolment_->Preauthorize(request, "operator:ann"));
  fleet::v1::RejectDeviceRequest back;
  back.set_name(announced.name());
  ASSERT_OK(enrolment_->Reject(back, "operator:ann"));
  ASSERT_OK(Take({Ask(other, Applicant(other, file))}));
  EXPECT_EQ(Only(fleet::v1::ENROLMENT_STATE_PENDING).public_key(),
            HexEncode(other.key.public_key()));
}

TEST_F(EnrolmentTest, AMemberThatLostItsMembershipComesBackWithItsKey) {
  const auto file = Bootstrap();
  TestDevice device;
  Pair(device);
  clock_.Advance(absl::Hours(2));
  ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  const auto grant = Answered(device);
  EXPECT_EQ(grant.device_id(), device.id) << "the same device";
  EXPECT_EQ(grant.verdict(), pairing::v1::VERDICT_UNSPECIFIED);
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(device.id), "gone",
                                   "operator:ann"));
  clock_.Advance(absl::Hours(2));
  EmptyOutbox();
  ASSERT_OK(Take({Ask(device, Applicant(device, file))}));
  EXPECT_TRUE(Outbox(records::v1::RECORD_KIND_PAIR_GRANT).empty())
      << "a key that was taken out of the fleet is nobody's";
}

}  // namespace
}  // namespace shoal::server
