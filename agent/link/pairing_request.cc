// Without a ticket: a bootstrap file that all devices of a type have, and
// either a manufacturer's word for this device or nobody's.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "agent/link/pairing_way.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/credential.h"
#include "signing/verify/entry_credential.h"

namespace shoal::agent {
namespace {

constexpr std::string_view kFilePrefix = "SHOALB1-";
constexpr std::string_view kFactoryPrefix = "SHOALF1-";
constexpr size_t kMaxText = 8192;
constexpr absl::Duration kRequestLifetime = absl::Hours(24 * 7);
// The plane may have had no room for it, or have been set back.
constexpr absl::Duration kAskAgain = absl::Hours(1);

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
  };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

class RequestWay final : public PairingWay {
 public:
  RequestWay(PairingDevice device, pairing::v1::BootstrapFile file,
             records::v1::Credential credential)
      : d_(std::move(device)),
        file_(std::move(file)),
        credential_(std::move(credential)),
        place_(dht::PairRequestPlace(d_.keys->signing.public_key(),
                                     file_.fleet_id())) {}

  absl::Status Load();
  std::string fleet_id() const override { return file_.fleet_id(); }
  std::string bootstrap_key() const override { return file_.bootstrap_key(); }
  std::vector<std::string> endpoints() const override {
    return {file_.endpoints().begin(), file_.endpoints().end()};
  }
  std::string place() const override { return place_; }
  absl::Status Prepare(const std::vector<dht::VerifiedRecord>& at_place,
                       bool answered) override;
  std::string outgoing() const override { return record_; }
  std::string transcript() const override {
    return crypto::Sha256Digest(payload_);
  }
  absl::StatusOr<std::string> Unwrap(std::string_view payload) const override {
    return std::string(payload);
  }
  absl::Status Forget() override { return d_.fs->Remove(Path()); }

 private:
  std::string Path() const {
    return JoinPath(d_.config->StateDirectory(), "pairing.request");
  }
  // No clock of a new device is trusted to be later than its file.
  absl::Time Now() const {
    return std::max(d_.clock->WallNow(), absl::FromUnixSeconds(file_.issued()));
  }
  void MakePayload();

  PairingDevice d_;
  pairing::v1::BootstrapFile file_;
  const records::v1::Credential credential_;
  const std::string place_;
  std::string payload_;  // the same for all versions of the record
  std::string record_;   // durable before it is sent
  uint64_t version_ = 0;
  absl::Time issued_ = absl::InfinitePast();
};

absl::Status RequestWay::Load() {
  if (!d_.fs->Exists(Path())) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(std::string kept, d_.fs->Read(Path(), 64 * 1024));
  records::v1::Record record;
  records::v1::RecordBody body;
  pairing::v1::PairRequest request;
  if (!record.ParseFromString(kept) || !body.ParseFromString(record.body()) ||
      body.place() != place_ || !request.ParseFromString(body.payload()) ||
      request.box_key() != d_.keys->box->public_key() ||
      request.device_type() != d_.config->device_type)
    return absl::OkStatus();  // of another fleet, or of keys before
  payload_ = body.payload();
  version_ = body.version();
  if (body.credential().SerializeAsString() != credential_.SerializeAsString())
    return absl::OkStatus();  // asks again through the new door
  issued_ = absl::FromUnixMillis(body.issued());
  record_ = std::move(kept);
  return absl::OkStatus();
}

void RequestWay::MakePayload() {
  pairing::v1::PairRequest request;
  request.set_device_key(d_.keys->signing.public_key());
  request.set_box_key(d_.keys->box->public_key());
  request.set_device_type(d_.config->device_type);
  request.set_nonce(crypto::RandomBytes(16));
  for (const auto& [name, value] : d_.inventory)
    (*request.mutable_inventory())[name] = value;
  payload_ = DeterministicBytes(request);
}

absl::Status RequestWay::Prepare(const std::vector<dht::VerifiedRecord>&,
                                 bool answered) {
  const absl::Time now = Now();
  const absl::Duration age = now - issued_;
  const absl::Duration again = answered ? kRequestLifetime / 2 : kAskAgain;
  if (!record_.empty() && age < again && age > -again) return absl::OkStatus();
  if (now >= absl::FromUnixSeconds(file_.expires())) {
    if (!record_.empty()) return absl::OkStatus();  // goes on waiting
    return FailedPrecondition("bootstrap_expired",
                              "the bootstrap file has run out: get another");
  }
  if (payload_.empty()) MakePayload();
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_REQUEST;
  fields.place = place_;
  fields.version = version_ + 1;
  fields.issued = now;
  fields.expires =
      std::min(now + kRequestLifetime, absl::FromUnixSeconds(file_.expires()));
  fields.payload = payload_;
  fields.credential = credential_;
  std::string record =
      dht::SignRecord(fields, d_.keys->signing, file_.fleet_id());
  SHOAL_RETURN_IF_ERROR(d_.fs->WriteAtomic(Path(), record, 0600));
  record_ = std::move(record);
  version_ = fields.version;
  issued_ = now;
  LogInfo(
      "pairing_requested",
      {{"fingerprint", signing::FingerprintOf(d_.keys->signing.public_key())}});
  return absl::OkStatus();
}

absl::StatusOr<records::v1::Credential> ApplicantCredential(
    const crypto::SigningKey& device, const pairing::v1::BootstrapFile& file) {
  std::string seed = file.door_seed();
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::SigningKey door,
      crypto::SigningKey::FromSeed(crypto::SecretBytes::TakeFrom(seed)));
  records::v1::CredentialBody body;
  body.set_public_key(device.public_key());
  body.set_subject_id(signing::KeySubject(device.public_key()));
  body.set_kind(records::v1::WRITER_CLASS_APPLICANT);
  body.set_not_after(file.expires());
  *body.mutable_door() = file.door();
  records::v1::Credential credential;
  credential.set_body(body.SerializeAsString());
  credential.set_signature(door.Sign(crypto::SigningInput(
      signing::kCredentialDomain, file.fleet_id(), credential.body())));
  return credential;
}

}  // namespace

absl::StatusOr<pairing::v1::BootstrapFile> ParseBootstrapFile(
    std::string_view text) {
  const auto bad = [](std::string_view what) {
    return InvalidArgument("bad_bootstrap_file",
                           fmt::format("not a bootstrap file: {}", what));
  };
  text = Trim(text);
  if (text.size() > kMaxText) return bad("too long");
  if (text.substr(0, kFilePrefix.size()) != kFilePrefix)
    return bad("it does not begin with SHOALB1-");
  const auto bytes = Base32Decode(text.substr(kFilePrefix.size()));
  pairing::v1::BootstrapFile file;
  if (!bytes.ok() || !file.ParseFromString(*bytes))
    return bad("characters are wrong or missing");
  if (file.fleet_id().size() != 32 || file.bootstrap_key().size() != 32 ||
      file.endpoints_size() < 1 || file.endpoints_size() > 3 ||
      file.issued() < 0 || file.expires() < file.issued() ||
      file.expires() > 253402300799 ||
      (file.has_door() && file.door_seed().size() != 32))
    return bad("a field has the wrong length");
  return file;
}

absl::StatusOr<records::v1::Credential> ParseFactoryCredential(
    std::string_view text) {
  text = Trim(text);
  records::v1::Credential credential;
  if (text.size() > kMaxText ||
      text.substr(0, kFactoryPrefix.size()) != kFactoryPrefix)
    return InvalidArgument("bad_credential",
                           "a factory credential begins with SHOALF1-");
  const auto bytes = Base32Decode(text.substr(kFactoryPrefix.size()));
  if (!bytes.ok() || !credential.ParseFromString(*bytes))
    return InvalidArgument("bad_credential",
                           "characters of the factory credential are wrong");
  SHOAL_RETURN_IF_ERROR(signing::ParseFactory(credential));
  return credential;
}

absl::StatusOr<std::unique_ptr<PairingWay>> OpenRequestWay(
    PairingDevice device, pairing::v1::BootstrapFile file,
    const records::v1::Credential* factory) {
  const std::string& type = device.config->device_type;
  const auto wrong_type = [&](const std::string& of) {
    return FailedPrecondition(
        "wrong_device_type",
        fmt::format("it is for a '{}', this is a '{}'", of, type));
  };
  if (!file.device_type().empty() && file.device_type() != type)
    return wrong_type(file.device_type());
  records::v1::Credential credential;
  if (factory != nullptr) {
    SHOAL_ASSIGN_OR_RETURN(const auto body, signing::ParseFactory(*factory));
    if (body.public_key() != device.keys->signing.public_key())
      return FailedPrecondition("wrong_key",
                                "the factory credential is for another "
                                "device's key");
    if (body.device_type() != type) return wrong_type(body.device_type());
    credential = *factory;
  } else if (file.has_door()) {
    SHOAL_ASSIGN_OR_RETURN(credential,
                           ApplicantCredential(device.keys->signing, file));
  } else {
    return FailedPrecondition("no_door",
                              "this bootstrap file is for devices with a "
                              "factory credential");
  }
  auto way = std::make_unique<RequestWay>(std::move(device), std::move(file),
                                          std::move(credential));
  SHOAL_RETURN_IF_ERROR(way->Load());
  return std::unique_ptr<PairingWay>(std::move(way));
}

}  // namespace shoal::agent
