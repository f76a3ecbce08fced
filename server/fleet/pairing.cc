#include "server/fleet/pairing.h"

#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/pairing_crypto.h"
#include "server/store/requests.h"
#include "server/trust/release_log.h"
#include "signing/sign/builder.h"

namespace shoal::server {
namespace {

constexpr int64_t kDefaultLifetime = 24 * 3600;
constexpr int64_t kMaxLifetime = 30 * 24 * 3600;
constexpr int kMaxEndpoints = 3;

}  // namespace

Pairing::Pairing(Store& store, const PlaneKeys& keys,
                 const RecordWriter& writer, Nodes& nodes, Enrolment& enrolment)
    : store_(store),
      keys_(keys),
      writer_(writer),
      nodes_(nodes),
      enrolment_(enrolment) {}

absl::StatusOr<fleet::v1::CreateClaimTicketResponse> Pairing::CreateTicket(
    const fleet::v1::CreateClaimTicketRequest& request,
    const std::string& principal) {
  if (!IsIdentifier(request.device_type())) {
    return InvalidArgument("bad_request", "device_type is not an identifier");
  }
  SHOAL_RETURN_IF_ERROR(
      CheckLabels({request.labels().begin(), request.labels().end()}));
  const int64_t lifetime = request.lifetime_seconds() == 0
                               ? kDefaultLifetime
                               : request.lifetime_seconds();
  if (lifetime < 0 || lifetime > kMaxLifetime) {
    return InvalidArgument("bad_request",
                           "lifetime_seconds is between 1 and 30 days");
  }
  SHOAL_ASSIGN_OR_RETURN(auto directory, nodes_.Directory());
  if (directory.nodes().empty()) {
    return FailedPrecondition("no_nodes",
                              "enrol a storage node first: a device finds the "
                              "network through them");
  }
  const absl::Time now = store_.clock().WallNow();
  const absl::Time expires = now + absl::Seconds(lifetime);
  store::TicketRow row;
  pairing::v1::ClaimTicket& ticket = *row.mutable_ticket();
  ticket.set_secret(crypto::RandomBytes(16));
  ticket.set_fleet_id(writer_.fleet_id());
  for (const auto& node : directory.nodes()) {
    if (ticket.endpoints_size() == kMaxEndpoints) break;
    ticket.add_endpoints(node.dht_address());
  }
  ticket.set_bootstrap_key(std::string(keys_.bootstrap_key.view()));
  ticket.set_expires(absl::ToUnixSeconds(expires));
  row.set_device_type(request.device_type());
  *row.mutable_labels() = request.labels();
  row.set_state(store::TicketRow::STATE_OPEN);
  row.set_created_by(principal);
  row.set_hold(request.hold());

  fleet::v1::CreateClaimTicketResponse response;
  response.set_ticket(TicketText(ticket));
  SHOAL_ASSIGN_OR_RETURN(*response.mutable_qr(), QrText(response.ticket()));
  response.set_expires_at(absl::ToUnixSeconds(expires));

  SHOAL_ASSIGN_OR_RETURN(auto claim_key, PairingClaimKey(ticket.secret()));
  const std::string place = PairingPlace(ticket.secret());
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(bool again,
                         FindRequest(tx, "CreateClaimTicket", principal,
                                     request.request_id(), request, response));
  if (again) return response;
  SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
  plane.set_credential_serial(plane.credential_serial() + 1);
  tx.Put(kMeta, "identity", plane);
  records::v1::CredentialBody claim;
  claim.set_public_key(claim_key.public_key());
  claim.set_subject_id(place.substr(0, 16));
  claim.set_kind(records::v1::WRITER_CLASS_CLAIM);
  claim.set_not_after(ticket.expires());
  claim.set_serial(plane.credential_serial());
  pairing::v1::Offer offer;
  offer.set_nonce(crypto::RandomBytes(16));
  SHOAL_ASSIGN_OR_RETURN(
      *offer.mutable_claim_credential(),
      signing::IssueCredential(keys_.device_ca, writer_.fleet_id(), claim));
  SHOAL_RETURN_IF_ERROR(LogCredential(tx, "claim", claim.subject_id(),
                                      claim.serial(),
                                      offer.claim_credential()));
  offer.set_device_type(row.device_type());
  SHOAL_ASSIGN_OR_RETURN(
      *row.mutable_offer_record(),
      writer_.PublishAt(
          tx, records::v1::RECORD_KIND_PAIR_OFFER, place, 1,
          PairingSeal(ticket.secret(), kOfferDomain, writer_.fleet_id(),
                      offer.SerializeAsString()),
          expires));
  tx.Put(kTickets, HexEncode(place), row);
  RememberRequest(tx, "CreateClaimTicket", principal, request.request_id(),
                  request, response);
  tx.Audit(principal, "device.accept", "tickets/" + HexEncode(place), "ok",
           fmt::format("claim ticket for a {}", row.device_type()));
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return response;
}

absl::StatusOr<std::vector<std::string>> Pairing::OpenPlaces() const {
  std::vector<std::string> places;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::TicketRow>(
      kTickets, "", "", [&](std::string_view, const store::TicketRow& row) {
        if (row.state() == store::TicketRow::STATE_OPEN) {
          places.push_back(PairingPlace(row.ticket().secret()));
        }
        return true;
      }));
  return places;
}

absl::StatusOr<pairing::v1::Answer> Pairing::CheckAnswer(
    const store::TicketRow& row, const dht::VerifiedRecord& record) const {
  SHOAL_ASSIGN_OR_RETURN(auto claim_key,
                         PairingClaimKey(row.ticket().secret()));
  if (record.writer.public_key != claim_key.public_key()) {
    return PermissionDenied("wrong_writer", "not signed by the claim key");
  }
  SHOAL_ASSIGN_OR_RETURN(
      std::string plain,
      PairingOpen(row.ticket().secret(), kAnswerDomain, writer_.fleet_id(),
                  record.body.payload()));
  pairing::v1::Answer answer;
  if (!answer.ParseFromString(plain)) {
    return InvalidArgument("bad_answer", "the answer does not parse");
  }
  if (answer.offer_digest() != dht::RecordDigest(row.offer_record())) {
    return PermissionDenied("bad_answer", "the answer is to another offer");
  }
  if (answer.device_key().size() != crypto::kEd25519PublicKeySize ||
      answer.box_key().size() != crypto::kBoxKeySize) {
    return InvalidArgument("bad_answer", "a key has the wrong length");
  }
  if (!crypto::Ed25519Verify(answer.device_key(),
                             AnswerSigningInput(answer, writer_.fleet_id()),
                             answer.device_signature())) {
    return PermissionDenied("bad_signature",
                            "the device does not hold the key it names");
  }
  if (!answer.device_type().empty() &&
      answer.device_type() != row.device_type()) {
    return FailedPrecondition(
        "wrong_device_type",
        fmt::format("the ticket is for a {}, the device is a {}",
                    row.device_type(), answer.device_type()));
  }
  return answer;
}

absl::Status Pairing::Refuse(Transaction& tx, const std::string& key,
                             store::TicketRow& row,
                             const absl::Status& why) const {
  // Only who holds the ticket can write here at all.
  if (row.refused_answers() >= kMaxRefusedAnswers) return absl::OkStatus();
  LogWarn("pairing_answer_refused", {{"ticket", key}, {"error", why}});
  row.set_refused_answers(row.refused_answers() + 1);
  if (row.refused_answers() == kMaxRefusedAnswers &&
      row.state() == store::TicketRow::STATE_OPEN) {
    row.set_state(store::TicketRow::STATE_EXPIRED);
    tx.Audit("plane", "device.accept", "tickets/" + key, "too_many_answers");
  }
  tx.Put(kTickets, key, row);
  return absl::OkStatus();
}

absl::Status Pairing::OnAnswer(Transaction& tx,
                               const dht::VerifiedRecord& record) {
  const std::string key = HexEncode(record.body.place());
  auto found = tx.Get<store::TicketRow>(kTickets, key);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();  // not ours
  SHOAL_RETURN_IF_ERROR(found);
  store::TicketRow row = *std::move(found);
  if (row.answer_record() == record.bytes) return absl::OkStatus();
  auto answer = CheckAnswer(row, record);
  if (!answer.ok()) return Refuse(tx, key, row, answer.status());
  if (row.state() == store::TicketRow::STATE_USED) {
    auto device =
        tx.Get<store::DeviceRow>(kDevices, HexEncode(row.device_id()));
    if (device.ok() &&
        device->device().public_key() == HexEncode(answer->device_key())) {
      return absl::OkStatus();  // the device repeats itself
    }
    if (row.refused_answers() < kMaxRefusedAnswers) {
      tx.Audit("claim:" + key, "device.accept", "tickets/" + key, "ticket_used",
               "another key answered: " + HexEncode(answer->device_key()));
    }
    return Refuse(
        tx, key, row,
        FailedPrecondition("ticket_used", "another key answered: " +
                                              HexEncode(answer->device_key())));
  }
  const absl::Time now = store_.clock().WallNow();
  if (row.state() != store::TicketRow::STATE_OPEN ||
      absl::ToUnixSeconds(now) >= row.ticket().expires()) {
    LogWarn("pairing_answer_refused",
            {{"ticket", key}, {"reason", "ticket_expired"}});
    return absl::OkStatus();
  }
  Arrival arrival;
  arrival.device_key = answer->device_key();
  arrival.box_key = answer->box_key();
  arrival.device_type = row.device_type();
  arrival.inventory = {answer->inventory().begin(), answer->inventory().end()};
  arrival.labels = {row.labels().begin(), row.labels().end()};
  arrival.origin = "ticket";
  arrival.place = record.body.place();
  arrival.request_digest = record.digest;
  arrival.accepted = !row.hold();
  arrival.principal = row.created_by();
  auto device_id = enrolment_.Arrive(tx, arrival);
  if (ReasonOf(device_id.status()) == "bad_key") {
    return Refuse(tx, key, row, device_id.status());
  }
  SHOAL_RETURN_IF_ERROR(device_id);
  row.set_state(store::TicketRow::STATE_USED);
  row.set_answer_record(record.bytes);
  row.set_device_id(*device_id);
  tx.Put(kTickets, key, row);
  return absl::OkStatus();
}

absl::Status Pairing::ExpireTickets() {
  const int64_t now = absl::ToUnixSeconds(store_.clock().WallNow());
  std::vector<std::string> due;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::TicketRow>(
      kTickets, "", "", [&](std::string_view key, const store::TicketRow& row) {
        if (row.state() == store::TicketRow::STATE_OPEN &&
            row.ticket().expires() <= now) {
          due.emplace_back(key);
        }
        return true;
      }));
  if (due.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const std::string& key : due) {
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::TicketRow>(kTickets, key));
    if (row.state() != store::TicketRow::STATE_OPEN) continue;
    row.set_state(store::TicketRow::STATE_EXPIRED);
    tx.Put(kTickets, key, row);
    tx.Audit("plane", "device.accept", "tickets/" + key, "ticket_expired");
  }
  return tx.Commit();
}

}  // namespace shoal::server
