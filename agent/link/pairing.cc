#include "agent/link/pairing.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "agent/link/sources.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/credential.h"
#include "signing/verify/updater.h"

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

// Maps have no order of their own: both sides sign the deterministic form.
std::string Deterministic(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
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

std::string Pairing::AnswerPath() const {
  return JoinPath(o_.config->StateDirectory(), "pairing.answer");
}

absl::StatusOr<std::unique_ptr<Pairing>> Pairing::Open(PairingOptions options) {
  auto pairing = std::unique_ptr<Pairing>(new Pairing(std::move(options)));
  PairingOptions& o = pairing->o_;
  pairing->place_ = Derive(o.ticket, "shoal.pair.place", 20);
  if (o.fs->Exists(pairing->AnswerPath())) {
    // Of this ticket, or of one before it.
    SHOAL_ASSIGN_OR_RETURN(std::string kept,
                           o.fs->Read(pairing->AnswerPath(), 64 * 1024));
    records::v1::Record record;
    records::v1::RecordBody body;
    if (record.ParseFromString(kept) && body.ParseFromString(record.body()) &&
        body.place() == pairing->place_)
      pairing->answer_record_ = std::move(kept);
  }
  if (pairing->answer_record_.empty() &&
      absl::ToUnixSeconds(o.clock->WallNow()) >= o.ticket.expires())
    return FailedPrecondition("ticket_expired",
                              "this claim ticket has run out: ask for another");
  dht::NetworkOptions network;
  network.bind_address = o.config->bind_address;
  network.fleet_id = o.ticket.fleet_id();
  pairing::v1::NetworkKey key;
  key.set_epoch(0);
  key.set_key(o.ticket.bootstrap_key());
  network.keys = {key};
  network.bootstrap = {o.ticket.endpoints().begin(),
                       o.ticket.endpoints().end()};
  network.resolver = MakeResolver(pairing->holder_);
  network.clock = o.clock;
  SHOAL_ASSIGN_OR_RETURN(pairing->network_,
                         dht::Network::Open(std::move(network)));
  return pairing;
}

absl::StatusOr<std::optional<Membership>> Pairing::Step() {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<dht::VerifiedRecord> records,
                         network_->GetBlocking(place_, absl::Seconds(2)));
  absl::Status trouble;
  for (const dht::VerifiedRecord& record : records) {
    if (record.body.kind() == records::v1::RECORD_KIND_PAIR_GRANT &&
        !answer_record_.empty()) {
      auto membership = Accept(record);
      if (membership.ok() && *membership) return membership;
      // A stranger may put a grant there; the next one may be the real one.
      if (!membership.ok()) trouble = membership.status();
    }
  }
  if (answer_record_.empty()) {
    if (absl::ToUnixSeconds(o_.clock->WallNow()) >= o_.ticket.expires())
      return FailedPrecondition("ticket_expired",
                                "this claim ticket has run out");
    for (const dht::VerifiedRecord& record : records) {
      if (record.body.kind() != records::v1::RECORD_KIND_PAIR_OFFER) continue;
      trouble = Answer(record);
      if (trouble.ok()) break;
    }
  }
  if (!answer_record_.empty()) {
    const auto put = network_->PutBlocking(
        answer_record_, {.wanted_receipts = 1, .deadline = absl::Seconds(2)});
    if (!put.ok()) LogDebug("pairing_answer_waits", {{"error", put.status()}});
  }
  if (!trouble.ok()) return trouble;
  return std::nullopt;
}

absl::Status Pairing::Answer(const dht::VerifiedRecord& offer_record) {
  const auto plain =
      Unseal(o_.ticket, kOfferDomain, offer_record.body.payload());
  pairing::v1::Offer offer;
  if (!plain.ok() || !offer.ParseFromString(*plain))
    return PermissionDenied("bad_offer",
                            "the offer was not made with this ticket");
  if (!offer.device_type().empty() &&
      offer.device_type() != o_.config->device_type)
    return FailedPrecondition(
        "wrong_device_type",
        fmt::format("the ticket is for a '{}', this is a '{}'",
                    offer.device_type(), o_.config->device_type));
  std::string seed = Derive(o_.ticket, "shoal.pair.claim");
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
  answer.set_device_key(o_.keys->signing.public_key());
  answer.set_box_key(o_.keys->box.public_key());
  answer.set_device_type(o_.config->device_type);
  answer.set_nonce(crypto::RandomBytes(16));
  for (const auto& [name, value] : o_.inventory)
    (*answer.mutable_inventory())[name] = value;
  answer.set_device_signature(o_.keys->signing.Sign(crypto::SigningInput(
      kAnswerDomain, o_.ticket.fleet_id(), Deterministic(answer))));

  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
  fields.place = place_;
  fields.version = 1;
  fields.issued = o_.clock->WallNow();
  fields.expires = absl::FromUnixSeconds(o_.ticket.expires());
  fields.payload = Seal(o_.ticket, kAnswerDomain, Deterministic(answer));
  fields.credential = offer.claim_credential();
  std::string record = dht::SignRecord(fields, claim, o_.ticket.fleet_id());
  // The first key answered wins: after a restart it must be the same answer.
  SHOAL_RETURN_IF_ERROR(o_.fs->WriteAtomic(AnswerPath(), record, 0600));
  answer_record_ = std::move(record);
  LogInfo("pairing_answered",
          {{"key", HexEncode(o_.keys->signing.public_key())}});
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Membership>> Pairing::Accept(
    const dht::VerifiedRecord& record) {
  const auto bad = [](std::string_view what) {
    return PermissionDenied("bad_grant", what);
  };
  const auto sealed = Unseal(o_.ticket, kGrantDomain, record.body.payload());
  if (!sealed.ok()) return bad("the grant was not made with this ticket");
  const auto plain = o_.keys->box.Open(*sealed);
  pairing::v1::Grant grant;
  if (!plain.ok() || !grant.ParseFromString(*plain))
    return bad("the grant is for another device");
  if (grant.answer_digest() != dht::RecordDigest(answer_record_))
    return bad("the grant is to another answer");
  if (grant.device_id().size() != 16 ||
      grant.network().place_key().size() != 32 ||
      grant.network().keys().empty() ||
      grant.assignment().device_id() != grant.device_id())
    return bad("the grant lacks something");
  SHOAL_RETURN_IF_ERROR(VerifyFleet(record, grant));

  Membership membership;
  membership.fleet_id = o_.ticket.fleet_id();
  membership.director_key = record.writer.public_key;
  membership.grant = grant;
  membership.first_nodes = NodeAddressesOf(grant.directory());
  SHOAL_RETURN_IF_ERROR(
      SaveMembership(*o_.fs, o_.config->StateDirectory(), membership));
  SHOAL_RETURN_IF_ERROR(o_.fs->Remove(AnswerPath()));
  return membership;
}

absl::Status Pairing::VerifyFleet(const dht::VerifiedRecord& record,
                                  const pairing::v1::Grant& grant) {
  network_->SetDirectory(grant.directory());
  network_->SetNetworkKeys(
      {grant.network().keys().begin(), grant.network().keys().end()});
  network_->SetPlaceKey(grant.network().place_key());
  const dht::PlaceNamer places(grant.network().place_key());
  NodeAddresses nodes;
  nodes.Set(grant.directory());
  DhtFetcher source(network_.get(), &places, o_.fetch, &nodes,
                    o_.config->device_type);
  signing::UpdaterOptions options;
  options.directory = o_.config->MetadataDirectory();
  options.fleet_id = o_.ticket.fleet_id();
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<signing::Updater> updater,
                         signing::Updater::Open(options, *o_.fs, *o_.clock));
  const absl::Status refreshed = updater->Refresh(source);
  if (ReasonOf(refreshed) == "wrong_fleet")
    return PermissionDenied("fleet_mismatch",
                            "root version 1 is not the one the ticket names");
  SHOAL_RETURN_IF_ERROR(refreshed);
  SHOAL_ASSIGN_OR_RETURN(const signing::FleetTrust trust,
                         signing::BuildFleetTrust(*updater, &source));
  if (std::find(trust.director_keys.begin(), trust.director_keys.end(),
                record.writer.public_key) == trust.director_keys.end())
    return PermissionDenied("bad_grant",
                            "the grant's writer is no director of the fleet");
  const auto credential =
      signing::VerifyCredential(grant.credential(), trust, updater->Now());
  if (!credential.ok()) return Annotate(credential.status(), "the grant");
  if (credential->kind() != records::v1::WRITER_CLASS_DEVICE ||
      credential->public_key() != o_.keys->signing.public_key() ||
      credential->subject_id() != grant.device_id())
    return PermissionDenied("bad_grant",
                            "the credential is not for this device's key");
  return absl::OkStatus();
}

}  // namespace shoal::agent
