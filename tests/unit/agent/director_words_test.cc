// What a director signs for devices, field by field. None of it can be an
// order: a thief of its key finds no place for a program, a command, a setting,
// a hook or a session, since there is none. That is why the test of the stolen
// server can try such things only as fields that nobody knows.
//
// Whoever adds a field says here what a device does with it, and whether a
// thief could make it act. The rights to act are in the access policy, which
// the director does not sign; images are fw-TYPE's.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <map>
#include <set>
#include <string>

#include "shoal/pairing/v1/pairing.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "shoal/rollout/v1/document.pb.h"
#include "shoal/trust/v1/revocations.pb.h"

namespace shoal::agent {
namespace {

using Fields = std::map<std::string, std::set<std::string>>;

void Collect(const google::protobuf::Descriptor& message, Fields& fields) {
  if (message.options().map_entry() ||
      !fields.emplace(message.full_name(), std::set<std::string>()).second)
    return;
  for (int i = 0; i < message.field_count(); ++i) {
    const auto* field = message.field(i);
    fields[message.full_name()].insert(field->name());
    if (field->message_type() != nullptr)
      Collect(*field->message_type(), fields);
  }
}

TEST(DirectorWords, T20_HaveNoPlaceForAnOrder) {
  Fields fields;
  for (const auto* message : {
           // Targets of director-TYPE.
           rollout::v1::RolloutDocument::descriptor(),
           release::v1::DeltaIndex::descriptor(),
           trust::v1::DeviceRevocations::descriptor(),
           // Records.
           records::v1::Head::descriptor(),
           records::v1::NodeDirectory::descriptor(),
           records::v1::Assignment::descriptor(),
           pairing::v1::Offer::descriptor(),
           pairing::v1::Grant::descriptor(),
       })
    Collect(*message, fields);
  const Fields known = {
      // Which signed image, for whom, when, how fast, in which order: at worst
      // a signed image at or above the floor comes at a bad time, or none does.
      {"shoal.rollout.v1.RolloutDocument",
       {"id",
        "version",
        "fleet",
        "device_type",
        "release",
        "selector",
        "phases",
        "open_phase",
        "opened_at",
        "state",
        "expires",
        "windows",
        "retry",
        "error_threshold_permille",
        "unattended",
        "lifted_halts",
        "order",
        "rules_level",
        "calendar",
        "activation",
        "bandwidth",
        "parallel",
        "consent",
        "optional",
        "deadline",
        "priority",
        "only_running_sha256",
        "lost_after_seconds",
        "previous",
        "leads_back_from",
        "approvals",
        "accepted_failures"}},
      // How many failures an operator took for none: a gate opens earlier.
      {"shoal.rollout.v1.AcceptedFailures", {"phase", "count", "until"}},
      {"shoal.rollout.v1.ReleaseRef",
       {"version", "image_target", "sha256", "length", "counter",
        "delta_index_target"}},
      {"shoal.rollout.v1.Phase",
       {"name", "threshold", "labels", "expected_devices", "gate", "groups"}},
      {"shoal.rollout.v1.Gate",
       {"soak_ms", "success_permille", "min_outcomes", "manual", "approvals",
        "approvers", "settle_ms"}},
      {"shoal.rollout.v1.RetryPolicy",
       {"max_attempts", "backoff_ms", "max_backoff_ms"}},
      {"shoal.rollout.v1.Calendar", {"excluded", "included"}},
      {"shoal.rollout.v1.Activation",
       {"windows", "not_before", "hold", "released"}},
      {"shoal.rollout.v1.Bandwidth",
       {"unmetered_only", "max_bytes_per_second"}},
      {"shoal.rollout.v1.Parallel",
       {"max", "admitted", "admitted_at", "renew_ms", "spread_ms"}},
      // By an operator's key, which the policy names.
      {"shoal.rollout.v1.SignedApproval",
       {"phase", "operator_key", "signature"}},
      {"shoal.policy.v1.DeviceSelector",
       {"all", "device_types", "device_ids", "labels", "groups"}},
      {"shoal.policy.v1.TimeWindow", {"weekdays", "from_minute", "to_minute"}},
      // Parsed in shoal-patch alone; whatever it does, the result must be the
      // signed image.
      {"shoal.release.v1.DeltaIndex",
       {"device_type", "release_version", "deltas"}},
      {"shoal.release.v1.Delta",
       {"from_sha256", "to_sha256", "length", "sha256", "file_root",
        "piece_length", "mode", "memory", "from_length", "from_version",
        "needs"}},
      {"shoal.release.v1.DeltaNeeds", {"model", "codecs"}},
      // Takes devices out of the fleet: a denial, which the next director's
      // list undoes.
      {"shoal.trust.v1.DeviceRevocations",
       {"device_type", "device_ids", "superseded"}},
      {"shoal.trust.v1.SupersededKey", {"key_digest", "since"}},
      // Where to look. What is found is verified.
      {"shoal.records.v1.Head",
       {"timestamp", "snapshot_version", "changed_roles"}},
      {"shoal.records.v1.NodeDirectory", {"version", "nodes"}},
      {"shoal.records.v1.NodeEntry",
       {"id", "public_key", "dht_address", "grpc_address", "http_address",
        "swarm_address", "tls_spki_sha256"}},
      // Labels and groups choose rollouts; access rules take theirs from the
      // policy (AccessTest, StolenServer).
      {"shoal.records.v1.Assignment",
       {"device_id", "version", "device_type", "labels", "groups"}},
      // Who the device is, by the CA that targets.json names.
      {"shoal.pairing.v1.Offer", {"nonce", "claim_credential", "device_type"}},
      {"shoal.pairing.v1.Grant",
       {"answer_digest", "device_id", "credential", "network", "directory",
        "assignment", "verdict", "reason", "certificate"}},
      {"shoal.pairing.v1.NetworkAccess", {"keys", "place_key"}},
      {"shoal.pairing.v1.NetworkKey", {"epoch", "key", "opens_until"}},
      {"shoal.records.v1.Credential", {"body", "signature"}},
  };
  EXPECT_EQ(fields, known);
  // None is called what an order would be called.
  for (const auto& [message, names] : fields)
    for (const std::string& name : names)
      for (const char* order :
           {"command", "argument", "program", "script", "hook", "config",
            "setting", "session", "shell", "exec", "path", "url"})
        EXPECT_EQ(name.find(order), name.npos) << message << "." << name;
}

}  // namespace
}  // namespace shoal::agent
