#include "server/release/deltas.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "common/bytes.h"
#include "common/log.h"
#include "delta/image/image_map.h"
#include "delta/make/make.h"
#include "fmt/format.h"
#include "server/fleet/running_images.h"
#include "signing/metadata/file_root.h"

namespace shoal::server {
namespace {

// After a failure that may pass by itself: a minute, then twice as long each
// time.
constexpr absl::Duration kFirstPause = absl::Minutes(1);
constexpr absl::Duration kLongestPause = absl::Hours(1);
// After any other: somebody may have put the right bytes back, or a newer
// shoald may know better.
constexpr absl::Duration kLastingPause = absl::Hours(24);
// So many failures in a row are as good as lasting for those who wait.
constexpr uint32_t kTriesWaitedFor = 3;

// Between two looks at what is wanted.
constexpr absl::Duration kLookPause = absl::Milliseconds(100);

// Of the disk or the memory, not of the images.
bool MayPass(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status) ||
         ReasonOf(status).starts_with("io_");
}

// What this plane's deltas need at most.
rules::DeltaTools OwnTools() {
  return {delta::kModelVersion, delta::CodecLibraries()};
}

bool Serves(const Deltas::Pair& pair, const store::DeltaRow& row) {
  if (!row.has_delta()) return false;
  const release::v1::Delta& delta = row.delta();
  std::optional<rules::DeltaTools> needs;
  if (delta.has_needs())
    needs = rules::DeltaTools{
        delta.needs().model(),
        {delta.needs().codecs().begin(), delta.needs().codecs().end()}};
  return pair.demand.Serves(delta.mode(), delta.memory(), needs);
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

std::string DeltaKey(const Deltas::Pair& pair) {
  return fmt::format("{}/{}/{}", pair.device_type, pair.to.release().sha256(),
                     pair.from.release().sha256());
}

bool IsDue(const Deltas::Pair& pair, const store::DeltaRow& row,
           absl::Time now) {
  if (row.useless() || Serves(pair, row)) return false;
  if (row.failure().empty()) return true;
  const absl::Time again = absl::FromUnixMillis(row.retry_at());
  // A clock that went back: the pause can't be measured.
  return now >= again || again > now + kLastingPause;
}

bool IsSettled(const Deltas::Pair& pair, const store::DeltaRow& row) {
  if (row.useless() || Serves(pair, row)) return true;
  return !row.failure().empty() && (row.passing_failures() == 0 ||
                                    row.passing_failures() >= kTriesWaitedFor);
}

Deltas::Deltas(Store& store, Blobs& blobs, Releases& releases,
               DeltaOptions options)
    : store_(store), blobs_(blobs), releases_(releases), options_(options) {}

Deltas::~Deltas() { Stop(); }

void Deltas::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Deltas::Stop() {
  cancel_ = true;
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::vector<DeltaDemand>> Deltas::Demand() const {
  if (!demand_) return std::vector<DeltaDemand>();
  return demand_();
}

absl::StatusOr<std::vector<Deltas::Pair>> Deltas::Wanted(
    const DeltaDemand& demand) const {
  const auto& release = demand.release.release();
  SHOAL_ASSIGN_OR_RETURN(auto running,
                         RunningImages(store_, release.device_type()));
  running.erase(release.sha256());
  std::vector<Pair> pairs;
  const rules::DeltaTools own = OwnTools();
  SHOAL_ASSIGN_OR_RETURN(auto all, releases_.OfType(release.device_type()));
  for (const store::ReleaseRow& row : all) {
    const std::string& from = row.release().sha256();
    if (!demand.only_from.empty() && from != demand.only_from) continue;
    // Two releases may hold one image: one delta is enough.
    const auto devices = running.extract(from);
    if (devices.empty()) continue;
    if (const auto abilities =
            rules::DemandOf(devices.mapped().abilities, own)) {
      pairs.push_back({release.device_type(), row, demand.release, *abilities,
                       devices.mapped().devices});
    }
  }
  std::stable_sort(
      pairs.begin(), pairs.end(),
      [](const Pair& a, const Pair& b) { return a.devices > b.devices; });
  return pairs;
}

absl::StatusOr<Deltas::Progress> Deltas::ProgressOf(
    const DeltaDemand& demand) const {
  SHOAL_ASSIGN_OR_RETURN(auto pairs, Wanted(demand));
  Progress progress;
  progress.index.set_device_type(demand.release.release().device_type());
  progress.index.set_release_version(demand.release.release().version());
  for (const Pair& pair : pairs) {
    ++progress.wanted;
    SHOAL_ASSIGN_OR_RETURN(const auto row, RowOf(pair));
    if (!IsSettled(pair, row)) continue;
    ++progress.made;
    if (!row.has_delta()) continue;
    progress.bytes += row.delta().length();
    *progress.index.add_deltas() = row.delta();
  }
  return progress;
}

absl::StatusOr<store::DeltaRow> Deltas::RowOf(const Pair& pair) const {
  auto row = store_.Get<store::DeltaRow>(kDeltas, DeltaKey(pair));
  if (absl::IsNotFound(row.status())) return store::DeltaRow();
  return row;
}

absl::StatusOr<std::vector<dht::Artifact>> Deltas::Artifacts() const {
  std::vector<dht::Artifact> artifacts;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeltaRow>(
      kDeltas, "", "", [&](std::string_view, const store::DeltaRow& row) {
        if (row.has_delta()) artifacts.push_back(ArtifactOf(row.delta()));
        return true;
      }));
  return artifacts;
}

absl::StatusOr<std::optional<Deltas::Pair>> Deltas::Next(
    const std::set<std::string>& failed) const {
  SHOAL_ASSIGN_OR_RETURN(const auto demands, Demand());
  for (const DeltaDemand& demand : demands) {
    SHOAL_ASSIGN_OR_RETURN(auto pairs, Wanted(demand));
    for (Pair& pair : pairs) {
      if (failed.contains(DeltaKey(pair))) continue;
      SHOAL_ASSIGN_OR_RETURN(const auto row, RowOf(pair));
      if (IsDue(pair, row, store_.clock().WallNow())) return std::move(pair);
    }
  }
  return std::nullopt;
}

void Deltas::Run() {
  while (!store_.shut_down() && !cancel_) {
    const uint64_t seen = store_.revision();
    // What could not even be noted is not tried again before the next change or
    // pause.
    std::set<std::string> failed;
    while (!store_.shut_down() && !cancel_) {
      const auto next = Next(failed);
      if (!next.ok()) LogError("deltas_failed", {{"error", next.status()}});
      if (!next.ok() || !*next) break;
      const std::string key = DeltaKey(**next);
      {
        std::lock_guard lock(making_mutex_);
        making_ = key;
      }
      const absl::Status made = MakeOne(**next);
      {
        std::lock_guard lock(making_mutex_);
        making_.clear();
      }
      if (made.ok() || cancel_) continue;
      LogError("delta_failed", {{"error", made}});
      failed.insert(key);
    }
    store_.WaitForChange(seen, absl::Seconds(5));
    // Outcomes that come in change the store every few milliseconds.
    absl::SleepFor(kLookPause);
  }
}

absl::StatusOr<store::DeltaRow> Deltas::Make(
    const Pair& pair, const std::string& temporary,
    std::unique_lock<std::mutex>& hold) {
  SHOAL_ASSIGN_OR_RETURN(std::string from,
                         HexDecode(pair.from.release().sha256()));
  SHOAL_ASSIGN_OR_RETURN(std::string to, HexDecode(pair.to.release().sha256()));
  delta::MakeOptions options;
  options.threads = options_.threads;
  options.cancel = &cancel_;
  options.max_reader_memory = pair.demand.memory;
  if (pair.demand.format == rules::kBsdiff40)
    options.format = delta::Format::kBsdiff40;
  if (pair.demand.tools.model == 0) options.coding = delta::Coding::kZstd;
  options.device_codecs = pair.demand.tools.codecs;
  SHOAL_ASSIGN_OR_RETURN(const delta::MakeStats stats,
                         delta::MakeDelta(options, blobs_.PathOf(from),
                                          blobs_.PathOf(to), temporary));
  for (const auto& [release, is, should] :
       {std::tie(pair.from, stats.old_sha256, from),
        std::tie(pair.to, stats.new_sha256, to)}) {
    if (is != should)
      return DataLoss(
          "hash_mismatch",
          "the image of " + release.release().name() + " on disk has changed");
  }
  store::DeltaRow row;
  if (stats.patch_size >= stats.new_size) {
    row.set_useless(true);
    return row;
  }
  SHOAL_ASSIGN_OR_RETURN(signing::FileDigests digests,
                         signing::DigestFile(temporary));
  hold = blobs_.Hold();
  SHOAL_RETURN_IF_ERROR(blobs_.Keep(temporary, digests.sha256));
  release::v1::Delta& delta = *row.mutable_delta();
  delta.set_from_sha256(from);
  delta.set_to_sha256(to);
  delta.set_length(digests.length);
  delta.set_sha256(digests.sha256);
  delta.set_file_root(digests.file_root);
  delta.set_piece_length(static_cast<uint32_t>(digests.piece_length));
  delta.set_mode(std::string(pair.demand.format));
  delta.set_memory(stats.reader_memory);
  delta.mutable_needs()->set_model(stats.model_version);
  for (const std::string& codec : stats.codecs)
    delta.mutable_needs()->add_codecs(codec);
  delta.set_from_length(pair.from.release().length());
  delta.set_from_version(pair.from.release().version());
  return row;
}

absl::Status Deltas::NoteFailure(const Pair& pair, const absl::Status& why) {
  SHOAL_ASSIGN_OR_RETURN(store::DeltaRow row, RowOf(pair));
  row.set_failure(ReasonOf(why));
  absl::Duration pause = kLastingPause;
  if (MayPass(why)) {
    pause = kFirstPause;
    for (uint32_t i = 0; i < row.passing_failures() && pause < kLongestPause;
         ++i)
      pause *= 2;
    pause = std::min(pause, kLongestPause);
    row.set_passing_failures(row.passing_failures() + 1);
  } else {
    row.set_passing_failures(0);
  }
  const absl::Time again = store_.clock().WallNow() + pause;
  row.set_retry_at(absl::ToUnixMillis(again));
  LogError("delta_failed", {{"from", pair.from.release().version()},
                            {"to", pair.to.release().version()},
                            {"error", why},
                            {"retry_at", absl::FormatTime(again)}});
  Transaction tx(store_);
  tx.Put(kDeltas, DeltaKey(pair), row);
  return tx.Commit();
}

absl::Status Deltas::MakeOne(const Pair& pair) {
  const std::string temporary = blobs_.NewTemporary();
  // Whatever comes, nothing is left in incoming/: what is kept has gone to its
  // place.
  const absl::Cleanup tidy = [&temporary] {
    if (!RealFileSystem().Exists(temporary)) return;
    const absl::Status removed = RealFileSystem().Remove(temporary);
    if (!removed.ok()) LogWarn("delta_not_removed", {{"error", removed}});
  };
  const absl::Duration start = store_.clock().MonotonicNow();
  std::unique_lock<std::mutex> hold;
  const auto row = Make(pair, temporary, hold);
  if (!row.ok()) {
    if (hold) hold.unlock();
    if (cancel_ || ReasonOf(row.status()) == "cancelled") return row.status();
    return NoteFailure(pair, row.status());
  }
  Transaction tx(store_);
  for (const store::ReleaseRow* one : {&pair.from, &pair.to})
    if (!tx.Has(kReleases,
                one->release().device_type() + "/" + one->release().version()))
      return MakeError(absl::StatusCode::kAborted, "release_deleted",
                       one->release().name() + " was deleted meanwhile");
  tx.Put(kDeltas, DeltaKey(pair), *row);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  if (hold) hold.unlock();
  if (row->has_delta()) {
    LogInfo("delta_made",
            {{"from", pair.from.release().version()},
             {"to", pair.to.release().version()},
             {"bytes", row->delta().length()},
             {"seconds",
              absl::ToDoubleSeconds(store_.clock().MonotonicNow() - start)}});
    if (on_made_) on_made_(ArtifactOf(row->delta()));
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
