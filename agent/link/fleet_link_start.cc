// How a device's link comes up, and what goes with it.
#include <mutex>
#include <utility>

#include "agent/link/fleet_link.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {

absl::StatusOr<std::unique_ptr<FleetLink>> FleetLink::Open(
    FleetLinkOptions options) {
  auto link = std::unique_ptr<FleetLink>(new FleetLink(std::move(options)));
  SHOAL_RETURN_IF_ERROR(link->Start());
  return link;
}

FleetLink::~FleetLink() {
  // The spool's callbacks and listeners end with the network, unless that goes
  // on for others.
  {
    std::lock_guard lock(listener_->mutex);
    listener_->on_record = nullptr;
  }
  for (const dht::ListenToken token : tokens_) network_->Cancel(token);
  own_spool_.reset();
  own_network_.reset();
}

absl::Status FleetLink::Start() {
  const pairing::v1::Grant& grant = o_.membership.grant;
  signing_keys_.Settle();
  nodes_.Set(grant.directory());
  signing::UpdaterOptions updater;
  updater.directory = o_.config->MetadataDirectory();
  updater.fleet_id = o_.membership.fleet_id;
  SHOAL_ASSIGN_OR_RETURN(updater_,
                         signing::Updater::Open(updater, *o_.fs, *o_.clock));
  o_.clock->RaiseFloor(updater_->time_floor().floor());
  // Records are read with what is known, even while it is out of date.
  if (const absl::Status stored = updater_->UseStored(true); !stored.ok()) {
    LogWarn("metadata_store_unusable", {{"error", stored}});
  } else if (const absl::Status trust = RebuildTrust(nullptr); !trust.ok()) {
    LogWarn("trust_unusable", {{"error", trust}});
  }

  SHOAL_RETURN_IF_ERROR(o_.shared.network == nullptr ? OpenNetwork()
                                                     : absl::OkStatus());
  time_ = std::make_unique<TimeSync>(o_.clock, network_);
  out_ = std::make_unique<RecordOut>(signing_keys_.in_use(), &o_.membership,
                                     spool_, o_.clock);
  ResignSpool();
  artifacts_ = std::make_unique<ArtifactFetcher>(
      network_, &places_, o_.fetch, &nodes_,
      o_.config->seed_time > absl::ZeroDuration());
  head_ =
      std::make_unique<NewestHead>(network_, &places_, o_.config->device_type);
  auto source = DeviceSource(*network_, places_, o_.fetch, nodes_, *o_.clock);
  source.plausible = [this](std::string_view role,
                            std::optional<uint64_t> version,
                            std::string_view bytes) {
    absl::Status status = updater_->MayBe(role, version, bytes);
    return status.ok() ? status : passed_over_.Note(std::move(status), bytes);
  };
  source.timestamp = [this, plausible = source.plausible] {
    return head_->Timestamp(plausible);
  };
  JudgeBy(*updater_, source);
  source_ = std::make_unique<dht::MetadataSource>(std::move(source));
  if (o_.shared.wrap_source) wrapped_ = o_.shared.wrap_source(*source_);
  fetcher_ = wrapped_ ? wrapped_.get() : source_.get();
  gossip_ =
      std::make_unique<LogGossip>(updater_.get(), fetcher_, network_, &places_,
                                  out_.get(), o_.config->log_interval);
  // With fresh metadata in the store rollouts go on without any network.
  if (updater_->UseStored().ok()) {
    const absl::Status loaded = LoadRollouts(nullptr);
    if (!loaded.ok()) LogDebug("rollouts_not_stored", {{"error", loaded}});
  }
  if (o_.config->listen) ListenForAll();
  return absl::OkStatus();
}

absl::Status FleetLink::OpenNetwork() {
  const pairing::v1::Grant& grant = o_.membership.grant;
  dht::NetworkOptions network;
  network.bind_address = o_.config->bind_address;
  network.fleet_id = o_.membership.fleet_id;
  network.keys = {grant.network().keys().begin(), grant.network().keys().end()};
  network.place_key = grant.network().place_key();
  network.directory = grant.directory();
  network.bootstrap = o_.membership.first_nodes;
  dht::ClientIdentity& client = network.client.emplace();
  client.key = signing_keys_.in_use().get();
  client.credential = grant.credential();
  client.on_grant = o_.on_grant;
  network.resolver = MakeResolver(holder_);
  network.clock = o_.clock;
  SHOAL_ASSIGN_OR_RETURN(own_network_, dht::Network::Open(std::move(network)));
  network_ = own_network_.get();
  dht::SpoolOptions spool;
  spool.directory = o_.config->SpoolDirectory();
  spool.files = o_.fs;
  spool.clock = o_.clock;
  spool.network = network_;
  SHOAL_ASSIGN_OR_RETURN(own_spool_, dht::Spool::Open(std::move(spool)));
  spool_ = own_spool_.get();
  return absl::OkStatus();
}

}  // namespace shoal::agent
