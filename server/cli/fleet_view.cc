#include "server/cli/fleet_view.h"

#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/metadata/announced.h"
#include "server/cli/known_revocations.h"
#include "server/cli/network_source.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/verify/memory_fetcher.h"
#include "signing/verify/updater.h"
#include "signing/verify/writer.h"

namespace shoal::cli {
namespace {

constexpr int kMaxTimestampsTried = 8;

// Metadata as GetNetwork answers it; nothing of it is trusted.
signing::MemoryFetcher SourceOf(const fleet::v1::GetNetworkResponse& network) {
  signing::MemoryFetcher source;
  source.AddRoots(network.roots());
  source.AddMetadataFiles(network.metadata());
  source.AddDocument(signing::kPolicyPath, network.policy());
  source.AddDocuments(network.revocations());
  return source;
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

// All that `updater`'s metadata says, with every list of revocations; what is
// new of these the context keeps. `unread` as in StoredTrust; null: the log.
absl::StatusOr<signing::FleetTrust> ReadTrust(
    const Context& context, signing::Updater& updater, signing::Fetcher& source,
    FileSystem& fs, std::vector<std::string>* unread) {
  SHOAL_ASSIGN_OR_RETURN(signing::FleetTrust trust,
                         signing::BuildFleetTrust(updater, &source));
  SHOAL_RETURN_IF_ERROR(RecallRevocations(context, fs, trust));
  constexpr std::string_view kPrefix = "director-";
  for (const auto& [role, pin] : updater.snapshot().meta) {
    if (!role.starts_with(kPrefix)) continue;
    const std::string type = role.substr(kPrefix.size());
    const absl::Status added =
        signing::AddRevocations(updater, &source, type, trust);
    if (added.ok()) continue;
    if (unread != nullptr)
      unread->push_back(type);
    else
      LogWarn("revocations_unread", {{"type", type}, {"error", added}});
  }
  SHOAL_RETURN_IF_ERROR(KeepRevocations(context, fs, trust));
  return trust;
}

// With `expired`, what it was before the failed refresh.
absl::Status UseStored(signing::Updater& updater, bool* expired) {
  *expired = !updater.UseStored().ok();
  return *expired ? updater.UseStored(/*allow_expired=*/true)
                  : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<signing::Updater>> OpenTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  signing::UpdaterOptions options;
  options.directory = JoinPath(context.directory, "trust");
  options.fleet_id = context.fleet_id;
  if (network.roots_size() > 0) options.root_v1 = network.roots(0);
  return signing::Updater::Open(std::move(options), fs, clock);
}

absl::StatusOr<signing::FleetTrust> VerifyNetwork(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  SHOAL_RETURN_IF_ERROR(CheckFleet(context, network));
  SHOAL_ASSIGN_OR_RETURN(auto updater, OpenTrust(context, network, fs, clock));
  signing::MemoryFetcher source = SourceOf(network);
  SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
  return ReadTrust(context, *updater, source, fs, nullptr);
}

absl::StatusOr<std::vector<signing::TargetFile>> SignedTargets(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    const std::string& role, FileSystem& fs, Clock& clock) {
  SHOAL_RETURN_IF_ERROR(CheckFleet(context, network));
  SHOAL_ASSIGN_OR_RETURN(auto updater, OpenTrust(context, network, fs, clock));
  signing::MemoryFetcher source = SourceOf(network);
  SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
  return updater->TargetsOf(&source, role);
}

absl::StatusOr<StoredTrust> LoadTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock) {
  SHOAL_RETURN_IF_ERROR(CheckFleet(context, network));
  SHOAL_ASSIGN_OR_RETURN(auto updater, OpenTrust(context, network, fs, clock));
  StoredTrust stored;
  SHOAL_RETURN_IF_ERROR(UseStored(*updater, &stored.expired));
  signing::MemoryFetcher source = SourceOf(network);
  SHOAL_ASSIGN_OR_RETURN(
      stored.trust, ReadTrust(context, *updater, source, fs, &stored.unread));
  return stored;
}

absl::StatusOr<StoredTrust> LoadNewestTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    dht::Network& nodes, const dht::PlaceNamer& places, FileSystem& fs,
    Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(auto updater, OpenTrust(context, network, fs, clock));
  StoredTrust stored;
  SHOAL_RETURN_IF_ERROR(UseStored(*updater, &stored.expired));
  signing::MemoryFetcher own = SourceOf(network);
  std::vector<std::string> types;
  if (updater->targets().delegations)
    for (const auto& role : updater->targets().delegations->roles)
      if (role.name.starts_with("fw-")) types.push_back(role.name.substr(3));
  NetworkSource::Options sources{nodes, places, *updater, own, {}, clock};
  for (const auto& node : network.directory().nodes())
    if (!node.http_address().empty())
      sources.origins.push_back("http://" + node.http_address() + "/");
  const uint64_t known = updater->timestamp().version;
  int tries = 0;
  for (const std::string& timestamp :
       dht::AnnouncedTimestamps(nodes, places, types, MayBeFor(*updater))) {
    const auto parsed = signing::ParseTimestamp(timestamp);
    if (!parsed.ok() || parsed->value.version <= known ||
        ++tries > kMaxTimestampsTried)
      break;
    NetworkSource source(sources, timestamp);
    if (updater->Refresh(source).ok()) {
      stored.expired = false;
      break;
    }
    SHOAL_RETURN_IF_ERROR(UseStored(*updater, &stored.expired));
  }
  NetworkSource source(sources, "");
  // Nobody announces anything that counts: the nodes' origins may know more.
  if (stored.expired) {
    const absl::Status refreshed = updater->Refresh(source);
    if (refreshed.ok())
      stored.expired = false;
    else
      SHOAL_RETURN_IF_ERROR(UseStored(*updater, &stored.expired));
  }
  SHOAL_ASSIGN_OR_RETURN(
      stored.trust, ReadTrust(context, *updater, source, fs, &stored.unread));
  return stored;
}

uint64_t KnownLogSize(const Context& context, FileSystem& fs) {
  const auto bytes =
      fs.Read(JoinPath(JoinPath(context.directory, "trust"), "log"), 1u << 20);
  log::v1::LogMemory memory;
  if (!bytes.ok() || !memory.ParseFromString(*bytes)) return 0;
  return memory.head().size();
}

absl::StatusOr<std::string> RolloutDeviceType(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    std::string_view rollout_id, FileSystem& fs, Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(auto updater, OpenTrust(context, network, fs, clock));
  SHOAL_RETURN_IF_ERROR(updater->UseStored(/*allow_expired=*/true));
  signing::MemoryFetcher source = SourceOf(network);
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
  SHOAL_ASSIGN_OR_RETURN(auto policy, signing::PolicyOf(trust));
  return dht::CachingResolver(
      [trust = std::move(trust), policy = std::move(policy)](
          const dht::RecordBody& body,
          absl::Time now) -> absl::StatusOr<dht::Writer> {
        SHOAL_ASSIGN_OR_RETURN(
            auto writer, signing::ResolveWriter(trust, policy, body, now));
        return dht::Writer{writer.kind, std::move(writer.id),
                           std::move(writer.public_key)};
      });
}

}  // namespace shoal::cli
