// How the agent comes into its fleet: pairing, then the link.
#include <random>
#include <utility>

#include "agent/link/agent.h"
#include "agent/link/inventory.h"
#include "agent/link/requests.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/entry_credential.h"

namespace shoal::agent {
namespace {

constexpr size_t kMaxGrants = 16;
constexpr absl::Duration kPairingRetry = absl::Seconds(1);

}  // namespace

absl::Status Agent::GoOnline(Membership membership) {
  FleetLinkOptions options;
  options.config = &config_;
  options.fs = &fs_;
  options.clock = &device_clock_;
  options.keys = &*keys_;
  options.state = state_.get();
  options.fetch = fetch_;
  options.shared = parts_.link;
  options.membership = std::move(membership);
  options.on_record = [this](const dht::VerifiedRecord& record) {
    std::lock_guard lock(mutex_);
    const bool kept = records_.Push(record);
    if (!kept && !overflow_) {
      overflow_ = true;
      LogWarn("records_dropped",
              {{"kind", records::v1::RecordKind_Name(record.body.kind())}});
    }
    wake_.notify_all();
    if (parts_.on_work) parts_.on_work();
    return kept;
  };
  options.on_grant = [this](const std::string& node,
                            const std::string& record) {
    std::lock_guard lock(mutex_);
    if (grants_.size() >= kMaxGrants) return;
    grants_.emplace_back(node, record);
    wake_.notify_all();
    if (parts_.on_work) parts_.on_work();
  };
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<FleetLink> opened,
                         FleetLink::Open(std::move(options)));
  std::shared_ptr<FleetLink> link = std::move(opened);
  SHOAL_ASSIGN_OR_RETURN(
      telemetry_, TelemetrySender::Open(
                      fs_, JoinPath(config_.StateDirectory(), "telemetry"),
                      &link->places(), &link->out()));
  commands_ = std::make_unique<CommandRunner>(&config_, &*keys_, state_.get(),
                                              &link->holder(), &link->places(),
                                              &link->out());
  decider_ =
      std::make_unique<Decider>(&config_, &fs_, state_.get(), engine_.get(),
                                link.get(), components_.get(), &deltas_);
  link_ = link.get();
  {
    std::lock_guard lock(link_mutex_);
    shared_link_ = std::move(link);
  }
  LogInfo("online",
          {{"device", HexEncode(link_->out().membership().device_id())},
           {"dht", link_->network().bound_address()},
           {"swarm", config_.swarm_listen}});
  pace_.emplace(link_->out().membership().device_id(), config_.poll_interval,
                PollPace::Random(std::random_device()()));
  pace_->Start(clock_.MonotonicNow(), config_.start_spread);
  // With good metadata in its store a device can wait its turn: thousands may
  // have come up in this second, after a power cut.
  refresh_now_ = !link_->HasFreshMetadata();
  WakeEngine();
  return absl::OkStatus();
}

void Agent::StepPairing() {
  if (pairing_over_) return;
  const auto trouble = [this](const absl::Status& status) {
    if (last_trouble_ == ReasonOf(status)) return;
    last_trouble_ = ReasonOf(status);
    NoteRefusal(*state_, clock_, "pairing", status);
  };
  if (!pairing_) {
    // What is missing may be put there while the agent runs; look now and then.
    if (!Due(last_pairing_try_, kPairingRetry) && !last_trouble_.empty())
      return;
    PairingDevice device;
    device.fs = &fs_;
    device.clock = &clock_;
    device.config = &config_;
    device.keys = &*keys_;
    device.inventory =
        Inventory(config_.data_directory, running_.slot, deltas_);
    auto opened = Pairing::OpenConfigured(std::move(device), fetch_);
    if (!opened.ok()) {
      trouble(opened.status());
      pairing_over_ = ReasonOf(opened.status()) == "ticket_expired";
      return;
    }
    pairing_ = *std::move(opened);
  }
  auto paired = pairing_->Step();
  if (!paired.ok()) {
    const std::string reason = ReasonOf(paired.status());
    if (reason == "pairing_pending" && last_trouble_ != reason) {
      last_trouble_ = reason;
      LogInfo(reason, {{"fingerprint",
                        signing::FingerprintOf(keys_->signing.public_key())}});
    }
    trouble(paired.status());
    pairing_state_ = reason.rfind("pairing_", 0) == 0 ? reason : "not_paired";
    pairing_over_ = reason == "ticket_expired" || reason == "wrong_device_type";
    return;
  }
  if (!*paired) return;
  pairing_.reset();
  LogInfo("paired", {{"device", HexEncode((*paired)->device_id())},
                     {"fleet", HexEncode((*paired)->fleet_id)}});
  if (const absl::Status status = GoOnline(**std::move(paired)); !status.ok())
    LogError("link_failed", {{"error", status}});
}

}  // namespace shoal::agent
