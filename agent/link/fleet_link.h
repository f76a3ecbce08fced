// A paired device's connection to its fleet: the network, the trusted
// metadata, and what they say right now. One thread (the agent's control
// thread) unless a method says otherwise.
#ifndef SHOAL_AGENT_LINK_FLEET_LINK_H_
#define SHOAL_AGENT_LINK_FLEET_LINK_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/engine/candidate.h"
#include "agent/link/log_gossip.h"
#include "agent/link/member_keys.h"
#include "agent/link/record_out.h"
#include "agent/link/signing_keys.h"
#include "agent/link/sources.h"
#include "agent/link/time_sync.h"
#include "agent/link/trust.h"
#include "agent/state/agent_config.h"
#include "agent/state/device_state.h"
#include "agent/state/identity.h"
#include "common/budget.h"
#include "dht/records/latest.h"
#include "rules/rollout.h"
#include "signing/verify/updater.h"

namespace shoal::agent {

// One socket and one outbox for many devices of a process (shoal-sim); both or
// none. Whoever opened them keeps their directory, network keys and resolver
// up to date, and they outlive every link. Null: the link opens its own.
struct SharedLink {
  dht::Network* network = nullptr;
  dht::Spool* spool = nullptr;
  // Stands between the device and its own source of metadata, which outlives
  // what is returned; empty: nothing does.
  std::function<std::unique_ptr<signing::Fetcher>(signing::Fetcher& own)>
      wrap_source;
};

struct FleetLinkOptions {
  const AgentConfig* config = nullptr;  // none is owned; all outlive it
  FileSystem* fs = nullptr;
  DeviceClock* clock = nullptr;
  const DeviceKeys* keys = nullptr;
  DeviceState* state = nullptr;
  LazyFetch* fetch = nullptr;
  SharedLink shared;
  Membership membership;
  // HEAD, ASSIGNMENT, PAIR_GRANT, HALT, NODE_DIRECTORY and COMMAND records as
  // they come, pushed or looked up, verified; called on the network's thread,
  // must not block. False: this one, or another, was dropped for want of room
  // and is wanted again.
  std::function<bool(const dht::VerifiedRecord&)> on_record;
  // The grant that a storage node sent because this device's network keys were
  // retired: for TakeRetiredGrant. As on_record, but not verified.
  std::function<void(const std::string& node, const std::string& record)>
      on_grant;
};

struct RolloutEntry {
  rollout::v1::RolloutDocument document;
  std::string digest;  // SHA-256 of its bytes
};

class FleetLink {
 public:
  // Works without a network: what the store holds is verified again.
  static absl::StatusOr<std::unique_ptr<FleetLink>> Open(
      FleetLinkOptions options);
  ~FleetLink();

  // The TUF workflow, then trust and rollouts anew. Blocks some seconds. On
  // an error the last good state stays in force.
  absl::Status Refresh();
  // Whoever takes metadata from elsewhere, a stick of the owner, takes it with
  // this, so that the link never holds less than the disk does; whatever came
  // of it, TakeOver from the same source comes next.
  signing::Updater& updater() { return *updater_; }
  // Trust and rollouts anew, after updater().Refresh(source); as Refresh.
  absl::Status TakeOver(signing::Fetcher& source);
  // The time from the storage nodes when it is due; never blocks. True: the
  // device's time moved, so refresh.
  bool StepTime();
  const TimeSync& time() const { return *time_; }
  // Sends what waits as soon as storage nodes answer again; never blocks.
  void MindConnection();
  // Whether metadata may still be acted upon: "expired_metadata",
  // "unknown_time", "log_fork".
  absl::Status CheckFresh() const;
  // Compares the release log with other devices' when that is due; blocks some
  // seconds at most.
  void CompareLogs() { gossip_->Step(); }
  // What the device has to say of the release log.
  records::v1::LogReport LogStatus() const;

  // Rollouts of this device type, the newest (highest order) first.
  const std::vector<RolloutEntry>& rollouts() const { return rollouts_; }
  struct SignedRelease {
    SignedImage image;
    std::vector<SignedImage> components;  // that the device brings with it
  };
  absl::StatusOr<SignedRelease> ReleaseOf(
      const rollout::v1::RolloutDocument& document,
      const rules::DeviceParts& parts);
  // null: none, or not to be had now; the full image serves.
  std::unique_ptr<release::v1::DeltaIndex> DeltaIndexOf(
      const rollout::v1::RolloutDocument& document);
  // Reads the outcomes of phases 0 … last from the storage nodes.
  std::vector<rules::OutcomeCount> ReadSamples(
      const rollout::v1::RolloutDocument& document, int last_phase);

  // Asks for what lies now at the places that are listened at otherwise, HEAD
  // apart, which Refresh() looks up: pushes may be lost, and not every device
  // listens. on_record gets what it was not given before. Never blocks.
  void LookUp();

  // A record of on_record. OK, or why it is ignored.
  // False: it names the metadata in force, as the one that a listener finds
  // after a start mostly does, or renews a timestamp that is young enough, or
  // is older than the one in force, or signed by nobody that is known and no
  // such was looked into for a minute.
  bool TakeHead(const dht::VerifiedRecord& record);
  // Why metadata records were passed over since the last call.
  std::vector<absl::Status> TakePassedOver() { return passed_over_.Take(); }
  absl::Status TakeAssignment(const dht::VerifiedRecord& record);
  absl::Status TakeDirectory(const dht::VerifiedRecord& record);
  // A credential anew for the device's own key (docs/pairing.md): kept when
  // the fleet's CA in force gave it and it is worth more than the one at hand.
  // "bad_grant".
  // Network keys in it are added, never put in the place of those under which
  // an honest node answered.
  absl::Status TakeGrant(const dht::VerifiedRecord& record);
  // A record of on_grant. From a director in force: TakeGrant. Of another one
  // the network keys alone are taken, on trial: the metadata that names the new
  // director can only be fetched with them (TrialKeys). "bad_grant".
  absl::Status TakeRetiredGrant(const std::string& node,
                                const std::string& record);
  // "permission_denied" without rollout.halt in the policy (T28).
  absl::Status TakeHalt(const dht::VerifiedRecord& record);
  // Whether the policy in force names this operator's key (hex) and does not
  // revoke it.
  bool IsOperator(const std::string& operator_key) const;

  const records::v1::Assignment& assignment() const {
    return o_.membership.grant.assignment();
  }
  rules::DeviceFacts AssignedFacts() const;
  std::shared_ptr<const TrustView> trust() const { return holder_->Get(); }
  const TrustHolder& holder() const { return *holder_; }
  absl::Time Now() const { return updater_->Now(); }
  // Whether the metadata in force has not run out; see CheckFresh.
  bool HasFreshMetadata() const;
  // Of the timestamp that is acted upon; 0: none.
  uint64_t metadata_version() const {
    return updater_->fresh() ? updater_->timestamp().version : 0;
  }

  // What the report says of the device's own key.
  std::vector<records::v1::KeyChange> KeyChanges();

  RecordOut& out() { return *out_; }
  const dht::PlaceNamer& places() const { return places_; }
  dht::Network& network() { return *network_; }
  dht::Spool& spool() { return *spool_; }
  // Thread-safe; blocking.
  ArtifactFetcher& artifacts() { return *artifacts_; }

 private:
  explicit FleetLink(FleetLinkOptions options)
      : o_(std::move(options)),
        places_(o_.membership.grant.network().place_key()),
        signing_keys_(o_.fs, o_.config->StateDirectory(), *o_.keys),
        network_(o_.shared.network),
        spool_(o_.shared.spool) {
    listener_->on_record = o_.on_record;
  }
  // Outlives this object as long as the network may call.
  struct Listener {
    std::mutex mutex;
    std::function<bool(const dht::VerifiedRecord&)> on_record;
    // What on_record has been given, by place and digest.
    std::map<std::string, std::set<std::string>> given;
    void Give(const dht::VerifiedRecord& record);
    void GiveNew(const std::string& place,
                 const std::vector<dht::VerifiedRecord>& found);
  };
  absl::Status Start();
  absl::Status OpenNetwork();
  std::vector<std::string> Places() const;  // to listen at, without HEAD
  void ListenForAll();
  // What follows a refresh of updater_ from `source`.
  absl::Status ActUpon(absl::Status refreshed, signing::Fetcher& source);
  absl::Status RebuildTrust(signing::Fetcher* source);
  absl::Status LoadRollouts(signing::Fetcher* source);
  bool CanWait(const std::string& announced) const;
  bool IsWorthALook(const std::string& announced);
  // The membership with the versions that `director` counts: from the
  // beginning when the one before is no director any more.
  Membership MembershipUnder(const std::string& director) const;
  // Durable, then in force. `owner`: whose the credential in it is.
  absl::Status Keep(Membership next,
                    SigningKeys::Owner owner = SigningKeys::Owner::kInUse);
  std::vector<std::string> TimeKeys() const;
  // Whether anything in `membership` changed.
  bool AddNetworkKeys(const pairing::v1::Grant& grant, bool new_director,
                      Membership& membership) const;
  void UseNetworkKeys();
  // What waits under a credential that nobody takes any more is signed again.
  void ResignSpool();

  FleetLinkOptions o_;
  const dht::PlaceNamer places_;
  SigningKeys signing_keys_;  // outlives the network
  NodeAddresses nodes_;
  std::shared_ptr<TrustHolder> holder_ = std::make_shared<TrustHolder>();
  std::unique_ptr<dht::Network> own_network_;
  dht::Network* network_;  // the own or the shared one
  std::unique_ptr<TimeSync> time_;
  std::unique_ptr<dht::Spool> own_spool_;
  dht::Spool* spool_;
  const std::shared_ptr<Listener> listener_ = std::make_shared<Listener>();
  std::vector<dht::ListenToken> tokens_;
  std::unique_ptr<RecordOut> out_;
  std::unique_ptr<ArtifactFetcher> artifacts_;
  std::unique_ptr<signing::Updater> updater_;
  std::unique_ptr<NewestHead> head_;
  PassedOver passed_over_;
  std::unique_ptr<dht::MetadataSource> source_;
  std::unique_ptr<signing::Fetcher> wrapped_;
  signing::Fetcher* fetcher_ = nullptr;  // it, or source_
  std::unique_ptr<LogGossip> gossip_;
  Budget unknown_heads_{1.0 / 60, 3};
  int unproven_refreshes_ = 0;  // in a row
  bool was_connected_ = false;
  std::vector<RolloutEntry> rollouts_;
  std::string trust_key_;  // of what the resolver was last told
  TrialKeys on_trial_;
};

// The rollout of a signed target. "bad_rollout" and other reasons of
// rules::ValidateRollout; "wrong_target" when it stands under another's name.
absl::StatusOr<rollout::v1::RolloutDocument> ParseRollout(
    std::string_view target_path, std::string_view bytes);

// How often each device of `phase` succeeded or failed, by its latest outcome.
// Counted are devices whose position lies in the phase; a success must name
// the digest of the rollout's image as running (T27, T29). What the document
// accepts of their failures counts as accepted.
rules::OutcomeCount CountOutcomes(
    const rollout::v1::RolloutDocument& document, int phase,
    const std::vector<dht::VerifiedRecord>& records);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_FLEET_LINK_H_
