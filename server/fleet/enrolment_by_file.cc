// Pairing without a network in between: a person carries the device's request
// to the plane and its answer back. The same request, transcript and grant as
// through the storage nodes.
#include <string>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/status.h"
#include "server/fleet/enrolment.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::server {

absl::StatusOr<fleet::v1::PairDeviceResponse> Enrolment::PairByFile(
    const fleet::v1::PairDeviceRequest& request, const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(
      const dht::VerifiedRecord record,
      dht::VerifyRecord(request.request(), {.fleet_id = writer_.fleet_id(),
                                            .places = &writer_.places(),
                                            .resolver = writers_.Resolver(),
                                            .now = store_.clock().WallNow()}));
  if (record.body.kind() != records::v1::RECORD_KIND_PAIR_REQUEST) {
    return InvalidArgument("bad_request", "not a request to be paired");
  }
  SHOAL_ASSIGN_OR_RETURN(Arrival arrival, CheckRequest(record));
  pairing::v1::PairAnswer answer;
  std::string name;
  {
    Transaction tx(store_);
    const std::string pointer_key = "key/" + HexEncode(arrival.device_key);
    auto pointer = tx.Get<store::DeviceKeyRow>(kDeviceKeys, pointer_key);
    if (!pointer.ok()) {
      // Pending for a moment: the operator's word comes with it.
      arrival.accepted = false;
      SHOAL_RETURN_IF_ERROR(Arrive(tx, arrival));
      SHOAL_ASSIGN_OR_RETURN(
          pointer, tx.Get<store::DeviceKeyRow>(kDeviceKeys, pointer_key));
    }
    SHOAL_ASSIGN_OR_RETURN(
        auto row, tx.Get<store::DeviceRow>(kDevices, pointer->device()));
    name = row.device().name();
    if (row.device().public_key() != HexEncode(arrival.device_key)) {
      return PermissionDenied("superseded_key",
                              "the device has replaced this key");
    }
    SHOAL_RETURN_IF_ERROR(crypto::SealTo(arrival.box_key, ""));
    if (row.ticket_place() != arrival.place) row.set_grant_version(0);
    row.set_ticket_place(arrival.place);
    row.set_request_digest(arrival.request_digest);
    row.mutable_device()->set_box_key(HexEncode(arrival.box_key));
    if (row.device().state() == fleet::v1::ENROLMENT_STATE_ACCEPTED) {
      // A preauthorized device, or one that lost its membership.
      SHOAL_ASSIGN_OR_RETURN(*answer.mutable_grant(),
                             Admit(tx, row, principal, "request by file"));
    } else {
      fleet::v1::AcceptDeviceRequest accept;
      accept.set_name(name);
      accept.set_fingerprint(request.fingerprint());
      accept.set_unchecked(request.unchecked());
      *accept.mutable_labels() = request.labels();
      SHOAL_ASSIGN_OR_RETURN(*answer.mutable_grant(),
                             AdmitChecked(tx, row, accept, principal));
    }
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  // What the device needs to see for itself that this is its fleet.
  const auto view = trust_.View();
  for (const std::string& root : view->roots) answer.add_roots(root);
  SHOAL_RETURN_IF_ERROR(
      nodes_.AddMetadata(*view, 0, *answer.mutable_metadata()));
  answer.set_policy(view->fleet.policy_json);
  fleet::v1::PairDeviceResponse response;
  SHOAL_ASSIGN_OR_RETURN(*response.mutable_device(), devices_.Get(name));
  response.set_answer(answer.SerializeAsString());
  return response;
}

}  // namespace shoal::server
