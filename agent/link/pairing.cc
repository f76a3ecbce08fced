#include "agent/link/pairing.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "agent/link/pairing_grant.h"
#include "agent/link/sources.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {

Pairing::Pairing(PairingDevice device, std::unique_ptr<PairingWay> way,
                 LazyFetch* fetch)
    : d_(std::move(device)),
      way_(std::move(way)),
      fetch_(fetch),
      since_(d_.clock->MonotonicNow()) {}

absl::StatusOr<std::unique_ptr<Pairing>> Pairing::Open(
    PairingDevice device, std::unique_ptr<PairingWay> way, LazyFetch* fetch) {
  auto pairing = std::unique_ptr<Pairing>(
      new Pairing(std::move(device), std::move(way), fetch));
  dht::NetworkOptions network;
  network.bind_address = pairing->d_.config->bind_address;
  network.fleet_id = pairing->way_->fleet_id();
  pairing::v1::NetworkKey key;
  key.set_epoch(0);
  key.set_key(pairing->way_->bootstrap_key());
  network.keys = {key};
  network.bootstrap = pairing->way_->endpoints();
  network.resolver = MakeResolver(pairing->holder_);
  network.clock = pairing->d_.clock;
  SHOAL_ASSIGN_OR_RETURN(pairing->network_,
                         dht::Network::Open(std::move(network)));
  return pairing;
}

absl::StatusOr<std::unique_ptr<Pairing>> Pairing::OpenConfigured(
    PairingDevice device, LazyFetch* fetch) {
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<PairingWay> way,
                         OpenConfiguredWay(device));
  LogInfo("pairing", {{"fleet", HexEncode(way->fleet_id())}});
  return Open(std::move(device), std::move(way), fetch);
}

absl::Status Pairing::Verdict() const {
  switch (verdict_) {
    case pairing::v1::VERDICT_PENDING:
      return FailedPrecondition("pairing_pending",
                                "the fleet's operator has to accept this "
                                "device");
    case pairing::v1::VERDICT_REJECTED:
      return FailedPrecondition(
          "pairing_rejected",
          fmt::format("the fleet turned this device away{}{}",
                      reason_.empty() ? "" : ": ", reason_));
    default:
      return absl::OkStatus();
  }
}

absl::StatusOr<std::optional<Membership>> Pairing::Step() {
  const absl::Duration now = d_.clock->MonotonicNow();
  if (now < next_step_) {
    SHOAL_RETURN_IF_ERROR(Verdict());
    return std::nullopt;
  }
  auto stepped = StepNow();
  // A person takes minutes or days; a network takes seconds. Whoever was
  // turned away asks rarely, in case that is taken back.
  const absl::Duration waited = d_.clock->MonotonicNow() - since_;
  const bool rejected = verdict_ == pairing::v1::VERDICT_REJECTED;
  next_step_ =
      d_.clock->MonotonicNow() +
      (rejected
           ? std::clamp(waited / 2, absl::Seconds(2), absl::Hours(1))
           : std::clamp(waited / 20, absl::ZeroDuration(), absl::Minutes(1)));
  return stepped;
}

absl::StatusOr<std::optional<Membership>> Pairing::StepNow() {
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<dht::VerifiedRecord> records,
      network_->GetBlocking(way_->place(), absl::Seconds(2)));
  absl::Status trouble;
  bool judged = false;
  for (const dht::VerifiedRecord& record : records) {
    if (record.body.kind() != records::v1::RECORD_KIND_PAIR_GRANT ||
        way_->outgoing().empty())
      continue;
    const auto verdict_before = std::pair(verdict_, reason_);
    auto membership = Accept(record);
    if (membership.ok() && *membership) return membership;
    if (!membership.ok()) {
      // A stranger may put a grant there; the next one may be the real one.
      trouble = membership.status();
    } else if (judged) {
      std::tie(verdict_, reason_) = verdict_before;  // an older word
    } else {
      judged = true;
      if (verdict_before.first != verdict_) since_ = d_.clock->MonotonicNow();
    }
  }
  if (verdict_ == pairing::v1::VERDICT_REJECTED) return Verdict();
  const absl::Status prepared =
      way_->Prepare(records, verdict_ != pairing::v1::VERDICT_UNSPECIFIED);
  if (!prepared.ok()) return prepared;
  const std::string outgoing = way_->outgoing();
  // Once the fleet has answered there is no need to say it again and again.
  if (!outgoing.empty() && !(judged && outgoing == put_)) {
    const auto put = network_->PutBlocking(
        outgoing, {.wanted_receipts = 1, .deadline = absl::Seconds(2)});
    if (put.ok())
      put_ = outgoing;
    else
      LogDebug("pairing_answer_waits", {{"error", put.status()}});
  }
  if (!trouble.ok()) return trouble;
  SHOAL_RETURN_IF_ERROR(Verdict());
  return std::nullopt;
}

absl::StatusOr<std::optional<Membership>> Pairing::Accept(
    const dht::VerifiedRecord& record) {
  SHOAL_ASSIGN_OR_RETURN(const pairing::v1::Grant grant,
                         OpenGrant(d_, *way_, record));
  if (grant.verdict() != pairing::v1::VERDICT_UNSPECIFIED) {
    verdict_ = grant.verdict();
    reason_ = grant.reason().substr(0, 256);
    return std::nullopt;
  }
  if (const absl::Status verified = VerifyFleet(record, grant);
      !verified.ok()) {
    ForgetNetwork();
    return verified;
  }
  SHOAL_ASSIGN_OR_RETURN(Membership membership,
                         BecomeMember(d_, *way_, record, grant));
  return membership;
}

// A grant that did not prove itself must not keep the device from the next.
void Pairing::ForgetNetwork() {
  pairing::v1::NetworkKey key;
  key.set_epoch(0);
  key.set_key(way_->bootstrap_key());
  network_->SetNetworkKeys({key});
  network_->SetDirectory({});
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
  NewestHead head(network_.get(), &places, d_.config->device_type);
  // While nothing is trusted yet, anybody with the network's key may put
  // anything where metadata is looked for.
  const signing::Updater* trusted = nullptr;
  auto options = DeviceSource(*network_, places, fetch_, nodes, *d_.clock);
  options.plausible = [&trusted](std::string_view role,
                                 std::optional<uint64_t> version,
                                 std::string_view bytes) {
    return trusted == nullptr ? absl::OkStatus()
                              : trusted->MayBe(role, version, bytes);
  };
  options.timestamp = [&head, plausible = options.plausible] {
    return head.Timestamp(plausible);
  };
  options.now = [&trusted, this] {
    return trusted == nullptr ? d_.clock->WallNow() : trusted->Now();
  };
  dht::MetadataSource source(std::move(options));
  return VerifyGrant(
      d_, *way_, record, grant, source,
      [&trusted](const signing::Updater& updater) { trusted = &updater; });
}

}  // namespace shoal::agent
