// Claim tickets and the plane's side of pairing: offer → answer → grant, each
// a record, each durable before it is sent, so that pairing goes on after a
// restart at any point (docs/pairing.md).
#ifndef SHOAL_SERVER_FLEET_PAIRING_H_
#define SHOAL_SERVER_FLEET_PAIRING_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/records/record.h"
#include "server/fleet/devices.h"
#include "server/fleet/enrolment.h"
#include "server/fleet/nodes.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::server {

inline constexpr uint32_t kMaxRefusedAnswers = 16;

// Thread-safe.
class Pairing {
 public:
  Pairing(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
          Nodes& nodes, Enrolment& enrolment);

  // "bad_request", "bad_label", "no_nodes" (a device must find somebody),
  // "request_id_reused". The same request_id again: the same ticket.
  absl::StatusOr<fleet::v1::CreateClaimTicketResponse> CreateTicket(
      const fleet::v1::CreateClaimTicketRequest& request,
      const std::string& principal);

  // Where answers may come: places of open tickets.
  absl::StatusOr<std::vector<std::string>> OpenPlaces() const;

  // A verified PAIR_ANSWER. The first good one of an open ticket makes the
  // device, pending when the ticket says so; the same again changes nothing;
  // another is counted and reported (T50). A malformed one is logged and leaves
  // the ticket open. More than kMaxRefusedAnswers end an open ticket; beyond
  // them nothing is written down any more.
  absl::Status OnAnswer(Transaction& tx, const dht::VerifiedRecord& record);

  // Ends tickets whose time has run out.
  absl::Status ExpireTickets();

 private:
  absl::Status Refuse(Transaction& tx, const std::string& key,
                      store::TicketRow& row, const absl::Status& why) const;
  absl::StatusOr<pairing::v1::Answer> CheckAnswer(
      const store::TicketRow& ticket, const dht::VerifiedRecord& record) const;
  Store& store_;
  const PlaneKeys& keys_;
  const RecordWriter& writer_;
  Nodes& nodes_;
  Enrolment& enrolment_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_PAIRING_H_
