#include "server/release/deltas.h"

#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "delta/make/make.h"
#include "fmt/format.h"
#include "signing/metadata/file_root.h"

namespace shoal::server {
namespace {

std::string DeltaKey(const Deltas::Pair& pair) {
  return fmt::format("{}/{}/{}", pair.device_type, pair.to.release().sha256(),
                     pair.from.release().sha256());
}

dht::Artifact ArtifactOf(const release::v1::Delta& delta) {
  dht::Artifact artifact;
  artifact.file_root = delta.file_root();
  artifact.piece_length = delta.piece_length();
  artifact.length = delta.length();
  artifact.sha256 = delta.sha256();
  return artifact;
}

}  // namespace

Deltas::Deltas(Store& store, Blobs& blobs, Releases& releases, Devices& devices)
    : store_(store), blobs_(blobs), releases_(releases), devices_(devices) {}

Deltas::~Deltas() { Stop(); }

void Deltas::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Deltas::Stop() {
  cancel_ = true;
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::vector<Deltas::Pair>> Deltas::Wanted(
    const store::ReleaseRow& release) const {
  const std::string& type = release.release().device_type();
  SHOAL_ASSIGN_OR_RETURN(auto rows, devices_.Accepted(type));
  std::map<std::string, std::vector<rules::DeltaAbilities>> running;
  for (const store::DeviceRow& row : rows) {
    const auto& inventory = row.device().inventory();
    running[row.device().running_sha256()].push_back(
        rules::ReadDeltaAbilities({inventory.begin(), inventory.end()}));
  }
  running.erase(release.release().sha256());
  std::vector<Pair> pairs;
  SHOAL_ASSIGN_OR_RETURN(auto all, releases_.All());
  for (const store::ReleaseRow& row : all) {
    // Two releases may hold one image: one delta is enough.
    if (row.release().device_type() != type) continue;
    const auto devices = running.extract(row.release().sha256());
    if (devices.empty()) continue;
    if (const auto demand = rules::DemandOf(devices.mapped())) {
      pairs.push_back({type, row, release, *demand});
    }
  }
  return pairs;
}

absl::StatusOr<Deltas::Progress> Deltas::ProgressOf(
    const store::ReleaseRow& release) const {
  SHOAL_ASSIGN_OR_RETURN(auto pairs, Wanted(release));
  Progress progress;
  progress.index.set_device_type(release.release().device_type());
  progress.index.set_release_version(release.release().version());
  for (const Pair& pair : pairs) {
    ++progress.wanted;
    SHOAL_ASSIGN_OR_RETURN(const auto row, MadeOf(pair));
    if (!row) continue;
    ++progress.made;
    if (!row->has_delta()) continue;
    progress.bytes += row->delta().length();
    *progress.index.add_deltas() = row->delta();
  }
  return progress;
}

absl::StatusOr<std::optional<store::DeltaRow>> Deltas::MadeOf(
    const Pair& pair) const {
  auto row = store_.Get<store::DeltaRow>(kDeltas, DeltaKey(pair));
  if (absl::IsNotFound(row.status())) return std::nullopt;
  SHOAL_RETURN_IF_ERROR(row);
  if (row->has_delta() &&
      !pair.demand.Serves(row->delta().mode(), row->delta().memory())) {
    return std::nullopt;
  }
  return *row;
}

absl::StatusOr<std::vector<dht::Artifact>> Deltas::Artifacts() const {
  std::vector<dht::Artifact> artifacts;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeltaRow>(
      kDeltas, "", "", [&](std::string_view, const store::DeltaRow& row) {
        if (!row.useless() && row.failure().empty()) {
          artifacts.push_back(ArtifactOf(row.delta()));
        }
        return true;
      }));
  return artifacts;
}

void Deltas::Run() {
  while (!store_.shut_down() && !cancel_) {
    const uint64_t seen = store_.revision();
    bool worked = false;
    for (const store::ReleaseRow& release : demand_()) {
      auto pairs = Wanted(release);
      if (!pairs.ok()) {
        LogError("deltas_failed", {{"error", pairs.status()}});
        continue;
      }
      for (const Pair& pair : *pairs) {
        if (cancel_) return;
        const auto row = MadeOf(pair);
        if (!row.ok() || row->has_value()) continue;
        const absl::Status made = MakeOne(pair);
        if (!made.ok()) LogError("delta_failed", {{"error", made}});
        worked = made.ok();
      }
    }
    if (!worked) store_.WaitForChange(seen, absl::Seconds(5));
  }
}

absl::Status Deltas::MakeOne(const Pair& pair) {
  SHOAL_ASSIGN_OR_RETURN(std::string from,
                         HexDecode(pair.from.release().sha256()));
  SHOAL_ASSIGN_OR_RETURN(std::string to, HexDecode(pair.to.release().sha256()));
  const std::string temporary = blobs_.NewTemporary();
  delta::MakeOptions options;
  options.threads = 1;
  options.cancel = &cancel_;
  options.max_reader_memory = pair.demand.memory;
  if (pair.demand.format == rules::kBsdiff40) {
    options.format = delta::Format::kBsdiff40;
  }
  const absl::Duration start = store_.clock().MonotonicNow();
  auto stats = delta::MakeDelta(options, blobs_.PathOf(from), blobs_.PathOf(to),
                                temporary);
  store::DeltaRow row;
  if (!stats.ok()) {
    if (ReasonOf(stats.status()) == "cancelled" || cancel_ ||
        absl::IsResourceExhausted(stats.status())) {
      return stats.status();  // tried again
    }
    // Devices take the full image; the rollout does not wait for ever.
    row.set_failure(ReasonOf(stats.status()));
    LogError("delta_failed", {{"error", stats.status()}});
  } else if (stats->new_sha256 != to || stats->old_sha256 != from) {
    return DataLoss("hash_mismatch", "an image on disk has changed");
  } else if (stats->patch_size >= stats->new_size) {
    row.set_useless(true);
    SHOAL_RETURN_IF_ERROR(RealFileSystem().Remove(temporary));
  } else {
    SHOAL_ASSIGN_OR_RETURN(signing::FileDigests digests,
                           signing::DigestFile(temporary));
    SHOAL_RETURN_IF_ERROR(blobs_.Keep(temporary, digests.sha256));
    release::v1::Delta& delta = *row.mutable_delta();
    delta.set_from_sha256(from);
    delta.set_to_sha256(to);
    delta.set_length(digests.length);
    delta.set_sha256(digests.sha256);
    delta.set_file_root(digests.file_root);
    delta.set_piece_length(static_cast<uint32_t>(digests.piece_length));
    delta.set_mode(std::string(pair.demand.format));
    delta.set_memory(stats->reader_memory);
    delta.set_from_length(pair.from.release().length());
    delta.set_from_version(pair.from.release().version());
  }
  Transaction tx(store_);
  tx.Put(kDeltas, DeltaKey(pair), row);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  if (row.has_delta()) {
    LogInfo("delta_made",
            {{"from", pair.from.release().version()},
             {"to", pair.to.release().version()},
             {"bytes", row.delta().length()},
             {"seconds",
              absl::ToDoubleSeconds(store_.clock().MonotonicNow() - start)}});
    if (on_made_) on_made_(ArtifactOf(row.delta()));
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
