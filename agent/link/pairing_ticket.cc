// By claim ticket: the offer, the answer to it, and what the ticket's secret
// gives.
#include <fmt/format.h>

#include <cctype>
#include <utility>

#include "agent/link/pairing_way.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

constexpr std::string_view kPrefix = "SHOAL1-";
constexpr std::string_view kOfferDomain = "shoal.pair.offer.v1";
constexpr std::string_view kAnswerDomain = "shoal.pair.answer.v1";
constexpr std::string_view kGrantDomain = "shoal.pair.grant.v1";
constexpr size_t kMaxTicketText = 4096;

std::string Derive(const pairing::v1::ClaimTicket& ticket,
                   std::string_view what, size_t size = 32) {
  return crypto::Blake2b(ticket.secret(), what, size);
}

std::string Seal(const pairing::v1::ClaimTicket& ticket,
                 std::string_view domain, std::string_view plaintext) {
  const std::string nonce = crypto::RandomBytes(crypto::kAeadNonceSize);
  std::string key = Derive(ticket, "shoal.pair.seal");
  std::string sealed =
      nonce + crypto::AeadSeal(key, nonce,
                               std::string(domain) + ticket.fleet_id(),
                               plaintext);
  crypto::Wipe(key);
  return sealed;
}

absl::StatusOr<std::string> Unseal(const pairing::v1::ClaimTicket& ticket,
                                   std::string_view domain,
                                   std::string_view sealed) {
  if (sealed.size() < crypto::kAeadNonceSize + crypto::kAeadOverhead)
    return DataLoss("not_decryptable", "too short");
  std::string key = Derive(ticket, "shoal.pair.seal");
  auto plain = crypto::AeadOpen(key, sealed.substr(0, crypto::kAeadNonceSize),
                                std::string(domain) + ticket.fleet_id(),
                                sealed.substr(crypto::kAeadNonceSize));
  crypto::Wipe(key);
  return plain;
}

class TicketWay final : public PairingWay {
 public:
  TicketWay(PairingDevice device, pairing::v1::ClaimTicket ticket)
      : d_(std::move(device)),
        ticket_(std::move(ticket)),
        place_(Derive(ticket_, "shoal.pair.place", 20)) {}

  absl::Status Load();
  std::string fleet_id() const override { return ticket_.fleet_id(); }
  std::string bootstrap_key() const override { return ticket_.bootstrap_key(); }
  std::vector<std::string> endpoints() const override {
    return {ticket_.endpoints().begin(), ticket_.endpoints().end()};
  }
  std::string place() const override { return place_; }
  absl::Status Prepare(const std::vector<dht::VerifiedRecord>& at_place,
                       bool answered) override;
  std::string outgoing() const override { return answer_record_; }
  std::string transcript() const override {
    return dht::RecordDigest(answer_record_);
  }
  absl::StatusOr<std::string> Unwrap(std::string_view payload) const override {
    return Unseal(ticket_, kGrantDomain, payload);
  }
  absl::Status Forget() override { return d_.fs->Remove(Path()); }

 private:
  std::string Path() const {
    return JoinPath(d_.config->StateDirectory(), "pairing.answer");
  }
  bool Expired() const {
    return absl::ToUnixSeconds(d_.clock->WallNow()) >= ticket_.expires();
  }
  absl::Status Answer(const dht::VerifiedRecord& offer_record);

  PairingDevice d_;
  pairing::v1::ClaimTicket ticket_;
  const std::string place_;
  std::string answer_record_;  // durable before it is sent
};

absl::Status TicketWay::Load() {
  if (d_.fs->Exists(Path())) {
    // Of this ticket, or of one before it.
    SHOAL_ASSIGN_OR_RETURN(std::string kept, d_.fs->Read(Path(), 64 * 1024));
    records::v1::Record record;
    records::v1::RecordBody body;
    if (record.ParseFromString(kept) && body.ParseFromString(record.body()) &&
        body.place() == place_)
      answer_record_ = std::move(kept);
  }
  if (answer_record_.empty() && Expired())
    return FailedPrecondition("ticket_expired",
                              "this claim ticket has run out: ask for another");
  return absl::OkStatus();
}

absl::Status TicketWay::Prepare(
    const std::vector<dht::VerifiedRecord>& at_place, bool) {
  if (!answer_record_.empty()) return absl::OkStatus();
  if (Expired())
    return FailedPrecondition("ticket_expired",
                              "this claim ticket has run out");
  absl::Status trouble;
  for (const dht::VerifiedRecord& record : at_place) {
    if (record.body.kind() != records::v1::RECORD_KIND_PAIR_OFFER) continue;
    trouble = Answer(record);
    if (trouble.ok()) break;
  }
  return trouble;
}

absl::Status TicketWay::Answer(const dht::VerifiedRecord& offer_record) {
  const auto plain = Unseal(ticket_, kOfferDomain, offer_record.body.payload());
  pairing::v1::Offer offer;
  if (!plain.ok() || !offer.ParseFromString(*plain))
    return PermissionDenied("bad_offer",
                            "the offer was not made with this ticket");
  if (!offer.device_type().empty() &&
      offer.device_type() != d_.config->device_type)
    return FailedPrecondition(
        "wrong_device_type",
        fmt::format("the ticket is for a '{}', this is a '{}'",
                    offer.device_type(), d_.config->device_type));
  std::string seed = Derive(ticket_, "shoal.pair.claim");
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::SigningKey claim,
      crypto::SigningKey::FromSeed(crypto::SecretBytes::TakeFrom(seed)));
  records::v1::CredentialBody credential;
  if (!credential.ParseFromString(offer.claim_credential().body()) ||
      credential.public_key() != claim.public_key())
    return PermissionDenied("bad_offer",
                            "the offer's credential is for another key");

  pairing::v1::Answer answer;
  answer.set_offer_digest(offer_record.digest);
  answer.set_device_key(d_.keys->signing.public_key());
  answer.set_box_key(d_.keys->box->public_key());
  answer.set_device_type(d_.config->device_type);
  answer.set_nonce(crypto::RandomBytes(16));
  for (const auto& [name, value] : d_.inventory)
    (*answer.mutable_inventory())[name] = value;
  answer.set_device_signature(d_.keys->signing.Sign(crypto::SigningInput(
      kAnswerDomain, ticket_.fleet_id(), DeterministicBytes(answer))));

  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
  fields.place = place_;
  fields.version = 1;
  fields.issued = d_.clock->WallNow();
  fields.expires = absl::FromUnixSeconds(ticket_.expires());
  fields.payload = Seal(ticket_, kAnswerDomain, DeterministicBytes(answer));
  fields.credential = offer.claim_credential();
  std::string record = dht::SignRecord(fields, claim, ticket_.fleet_id());
  // The first key answered wins: after a restart it must be the same answer.
  SHOAL_RETURN_IF_ERROR(d_.fs->WriteAtomic(Path(), record, 0600));
  answer_record_ = std::move(record);
  LogInfo("pairing_answered",
          {{"key", HexEncode(d_.keys->signing.public_key())}});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<pairing::v1::ClaimTicket> ParseTicket(std::string_view text) {
  const auto bad = [](std::string_view what) {
    return InvalidArgument("bad_ticket",
                           fmt::format("not a claim ticket: {}", what));
  };
  while (!text.empty() &&
         std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  if (text.size() > kMaxTicketText) return bad("too long");
  if (text.substr(0, kPrefix.size()) != kPrefix)
    return bad("it does not begin with SHOAL1-");
  const auto bytes = Base32Decode(text.substr(kPrefix.size()));
  pairing::v1::ClaimTicket ticket;
  if (!bytes.ok() || !ticket.ParseFromString(*bytes))
    return bad("characters are wrong or missing");
  if (ticket.secret().size() != 16 || ticket.fleet_id().size() != 32 ||
      ticket.bootstrap_key().size() != 32 || ticket.endpoints_size() < 1 ||
      ticket.endpoints_size() > 3)
    return bad("a field has the wrong length");
  return ticket;
}

absl::StatusOr<std::unique_ptr<PairingWay>> OpenTicketWay(
    PairingDevice device, pairing::v1::ClaimTicket ticket) {
  auto way = std::make_unique<TicketWay>(std::move(device), std::move(ticket));
  SHOAL_RETURN_IF_ERROR(way->Load());
  return std::unique_ptr<PairingWay>(std::move(way));
}

}  // namespace shoal::agent
