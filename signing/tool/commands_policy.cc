#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "shoal/policy/v1/policy.pb.h"
#include "signing/tool/commands.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::signing {
namespace {

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_policy", what);
}

bool IsHexKey(const std::string& text) {
  const auto key = HexDecode(text);
  return key.ok() && key->size() == 32;
}

absl::StatusOr<policy::v1::AccessPolicy> ParsePolicy(const std::string& json) {
  policy::v1::AccessPolicy policy;
  const auto status = google::protobuf::util::JsonStringToMessage(
      json, &policy, google::protobuf::util::JsonParseOptions());
  if (!status.ok()) return Bad(status.ToString());
  if (policy.version() < 1) return Bad("'version' is missing");
  std::set<std::string> names;
  for (const auto& person : policy.operators()) {
    if (!IsIdentifier(person.name()) || !names.insert(person.name()).second)
      return Bad(fmt::format("operator '{:.80}' is no identifier or not unique",
                             person.name()));
    if ((!person.public_key().empty() && !IsHexKey(person.public_key())) ||
        (!person.tls_spki_sha256().empty() &&
         !IsHexKey(person.tls_spki_sha256())))
      return Bad(fmt::format("a key of operator {} is not 32 bytes in hex",
                             person.name()));
  }
  const auto& revocations = policy.revocations();
  for (const auto* keys :
       {&revocations.operator_keys(), &revocations.node_keys(),
        &revocations.device_ca_keys()})
    for (const std::string& key : *keys)
      if (!IsHexKey(key)) return Bad("a revoked key is not 32 bytes in hex");
  return policy;
}

}  // namespace

absl::Status RunPolicySet(const Options& options, const std::string& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string json,
                         RealFileSystem().Read(file, kMaxPolicyBytes));
  SHOAL_ASSIGN_OR_RETURN(const policy::v1::AccessPolicy policy,
                         ParsePolicy(json));
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets top,
                         work->NewestTargets("targets"));
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, work->NewestTargets("policy"));
  auto& targets = parsed.value.targets;
  if (const auto old = targets.find(kPolicyPath); old != targets.end()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(old->second));
    SHOAL_ASSIGN_OR_RETURN(
        const std::string old_json,
        RealFileSystem().Read(JoinPath(work->repository(), name),
                              kMaxPolicyBytes));
    SHOAL_ASSIGN_OR_RETURN(const policy::v1::AccessPolicy old_policy,
                           ParsePolicy(old_json));
    if (policy.version() <= old_policy.version())
      return FailedPrecondition(
          "rollback", fmt::format("the policy in force has version {}, this "
                                  "one {}: raise 'version'",
                                  old_policy.version(), policy.version()));
  }
  TargetFile target;
  target.path = kPolicyPath;
  target.length = json.size();
  target.sha256 = crypto::Sha256Digest(json);
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(
      JoinPath(work->repository(), "targets/policy")));
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().WriteAtomic(JoinPath(work->repository(), name), json));
  targets[kPolicyPath] = target;
  SHOAL_RETURN_IF_ERROR(
      work->WriteDelegated(top.value, "policy", parsed.value));
  fmt::print("{}: version {}, {} operators, {} rules, sha256 {}\n", kPolicyPath,
             policy.version(), policy.operators_size(), policy.rules_size(),
             HexEncode(target.sha256));
  return absl::OkStatus();
}

}  // namespace shoal::signing
