#include "agent/link/pairing_file.h"

#include <memory>

#include "agent/link/pairing_grant.h"
#include "agent/link/trust.h"
#include "common/status.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/memory_fetcher.h"

namespace shoal::agent {
namespace {

absl::StatusOr<std::unique_ptr<PairingWay>> OpenWay(
    const PairingDevice& device) {
  if (device.config->bootstrap_file.empty())
    return FailedPrecondition(
        "needs_bootstrap_file",
        "pairing by hand goes with a bootstrap file (shoal device "
        "bootstrap-file), not with a ticket");
  return OpenConfiguredWay(device);
}

}  // namespace

absl::StatusOr<std::string> MakePairRequestFile(const PairingDevice& device) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<PairingWay> way,
                         OpenWay(device));
  SHOAL_RETURN_IF_ERROR(way->Prepare({}, false));
  return way->outgoing();
}

absl::StatusOr<Membership> TakePairAnswerFile(const PairingDevice& device,
                                              std::string_view bytes) {
  pairing::v1::PairAnswer answer;
  if (bytes.size() > kMaxPairAnswer ||
      !answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return InvalidArgument("bad_answer", "not the answer to a request");
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<PairingWay> way,
                         OpenWay(device));
  if (way->outgoing().empty())
    return FailedPrecondition("no_request",
                              "this device has asked for nothing: shoal-agent "
                              "pair --request-file comes first");
  // Any bare key passes here as a director's; VerifyGrant compares it.
  const auto resolver = MakeResolver(std::make_shared<TrustHolder>());
  SHOAL_ASSIGN_OR_RETURN(
      const dht::VerifiedRecord record,
      dht::VerifyRecord(answer.grant(), {.fleet_id = way->fleet_id(),
                                         .places = nullptr,
                                         .resolver = resolver,
                                         .now = device.clock->WallNow()}));
  if (record.body.kind() != records::v1::RECORD_KIND_PAIR_GRANT ||
      record.body.place() != way->place())
    return PermissionDenied("bad_grant", "the answer holds no grant for it");
  SHOAL_ASSIGN_OR_RETURN(const pairing::v1::Grant grant,
                         OpenGrant(device, *way, record));
  if (grant.verdict() != pairing::v1::VERDICT_UNSPECIFIED)
    return PermissionDenied("bad_grant", "the answer grants nothing");
  signing::MemoryFetcher source;
  source.AddRoots(answer.roots());
  source.AddMetadataFiles(answer.metadata());
  source.AddDocument(signing::kPolicyPath, answer.policy());
  SHOAL_RETURN_IF_ERROR(VerifyGrant(device, *way, record, grant, source));
  return BecomeMember(device, *way, record, grant);
}

}  // namespace shoal::agent
