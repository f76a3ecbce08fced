#include "server/cli/fleet_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "rules/access.h"
#include "signing/verify/credential.h"
#include "signing/verify/updater.h"

namespace shoal::cli {
namespace {

absl::StatusOr<std::unique_ptr<signing::Updater>> OpenUpdater(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  signing::UpdaterOptions options;
  options.directory = JoinPath(context.directory, "trust");
  options.fleet_id = context.fleet_id;
  if (network.roots_size() > 0) options.root_v1 = network.roots(0);
  return signing::Updater::Open(std::move(options), fs, clock);
}

// "12.fw-gateway.json" → 12, when it is of `role`.
std::optional<uint64_t> VersionOf(std::string_view file,
                                  std::string_view role) {
  const std::string tail = fmt::format(".{}.json", role);
  if (!file.ends_with(tail) || file.size() == tail.size()) return std::nullopt;
  file.remove_suffix(tail.size());
  if (file.size() > 18) return std::nullopt;
  uint64_t version = 0;
  for (const char c : file) {
    if (c < '0' || c > '9') return std::nullopt;
    version = version * 10 + static_cast<uint64_t>(c - '0');
  }
  return version;
}

absl::Status NotInNetwork(std::string_view what) {
  return NotFound("metadata_missing",
                  fmt::format("the network's description has no {}", what));
}

absl::Status CheckFleet(const Context& context,
                        const fleet::v1::GetNetworkResponse& network) {
  if (network.fleet_id() == context.fleet_id) return absl::OkStatus();
  return PermissionDenied(
      "wrong_fleet",
      fmt::format("the management plane is of fleet {}, context '{}' of fleet "
                  "{}",
                  HexEncode(network.fleet_id()), context.name,
                  HexEncode(context.fleet_id)));
}

}  // namespace

absl::StatusOr<std::string> NetworkFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version, uint64_t) {
  if (role == "root") {
    const uint64_t wanted =
        version.value_or(static_cast<uint64_t>(network_.roots_size()));
    if (wanted == 0 || wanted > static_cast<uint64_t>(network_.roots_size())) {
      return NotInNetwork(fmt::format("root version {}", wanted));
    }
    return network_.roots(static_cast<int>(wanted - 1));
  }
  const auto& files = network_.metadata();
  if (role == "timestamp") {
    const auto it = files.find("timestamp.json");
    if (it == files.end()) return NotInNetwork("timestamp.json");
    return it->second;
  }
  const std::string* newest = nullptr;
  uint64_t newest_version = 0;
  for (const auto& [name, bytes] : files) {
    const auto found = VersionOf(name, role);
    if (!found || (version && *found != *version)) continue;
    if (newest == nullptr || *found > newest_version) {
      newest = &bytes;
      newest_version = *found;
    }
  }
  if (newest == nullptr)
    return NotInNetwork(fmt::format("metadata of {}", role));
  return *newest;
}

absl::StatusOr<std::string> NetworkFetcher::FetchTarget(
    const signing::TargetFile& target) {
  if (target.path == signing::kPolicyPath) return network_.policy();
  return NotInNetwork(target.path);
}

absl::StatusOr<signing::FleetTrust> VerifyNetwork(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  SHOAL_RETURN_IF_ERROR(CheckFleet(context, network));
  SHOAL_ASSIGN_OR_RETURN(auto updater,
                         OpenUpdater(context, network, fs, clock));
  NetworkFetcher source(network);
  SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
  return signing::BuildFleetTrust(*updater, &source);
}

absl::StatusOr<StoredTrust> LoadTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  SHOAL_RETURN_IF_ERROR(CheckFleet(context, network));
  SHOAL_ASSIGN_OR_RETURN(auto updater,
                         OpenUpdater(context, network, fs, clock));
  StoredTrust stored;
  if (!updater->UseStored().ok()) {
    stored.expired = true;
    SHOAL_RETURN_IF_ERROR(updater->UseStored(/*allow_expired=*/true));
  }
  NetworkFetcher source(network);
  SHOAL_ASSIGN_OR_RETURN(stored.trust,
                         signing::BuildFleetTrust(*updater, &source));
  return stored;
}

absl::StatusOr<std::string> RolloutDeviceType(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    std::string_view rollout_id, FileSystem& fs, Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(auto updater,
                         OpenUpdater(context, network, fs, clock));
  SHOAL_RETURN_IF_ERROR(updater->UseStored(/*allow_expired=*/true));
  NetworkFetcher source(network);
  SHOAL_ASSIGN_OR_RETURN(const signing::Targets director,
                         updater->RoleMetadata(&source, "director"));
  const std::string tail = fmt::format("/rollout/{}", rollout_id);
  if (director.delegations) {
    for (const auto& role : director.delegations->roles) {
      const auto targets = updater->TargetsOf(&source, role.name);
      // A role that can't be read now may still hold another rollout.
      if (!targets.ok()) continue;
      for (const auto& target : *targets) {
        constexpr std::string_view kHead = "director/";
        if (target.path.starts_with(kHead) && target.path.ends_with(tail)) {
          const size_t length = target.path.size() - kHead.size() - tail.size();
          return target.path.substr(kHead.size(), length);
        }
      }
    }
  }
  return NotFound(
      "unknown_rollout",
      fmt::format("the metadata of context '{}' names no rollout '{}'; give "
                  "its device type with --type",
                  context.name, rollout_id));
}

absl::StatusOr<dht::WriterResolver> MakeResolver(signing::FleetTrust trust) {
  policy::v1::AccessPolicy policy;
  if (!trust.policy_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(policy, rules::ParsePolicy(trust.policy_json));
  }
  struct Known {
    signing::FleetTrust trust;
    policy::v1::AccessPolicy policy;
  };
  auto known =
      std::make_shared<const Known>(Known{std::move(trust), std::move(policy)});
  return dht::CachingResolver(
      [known](const dht::RecordBody& body,
              absl::Time now) -> absl::StatusOr<dht::Writer> {
        if (body.has_credential()) {
          SHOAL_ASSIGN_OR_RETURN(
              const auto subject,
              signing::VerifyCredential(body.credential(), known->trust, now));
          return dht::Writer{subject.kind(), subject.subject_id(),
                             subject.public_key()};
        }
        const std::string& key = body.writer_key();
        const auto& directors = known->trust.director_keys;
        if (std::find(directors.begin(), directors.end(), key) !=
            directors.end()) {
          return dht::Writer{records::v1::WRITER_CLASS_DIRECTOR,
                             HexEncode(crypto::Sha256Digest(key)), key};
        }
        if (rules::FindOperatorByKey(known->policy, key) != nullptr) {
          return dht::Writer{records::v1::WRITER_CLASS_OPERATOR,
                             HexEncode(crypto::Sha256Digest(key)), key};
        }
        return PermissionDenied(
            "unknown_writer",
            "the record's key is no director's and no operator's");
      });
}

}  // namespace shoal::cli
