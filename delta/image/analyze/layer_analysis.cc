#include "delta/image/analyze/layer_analysis.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "common/status.h"
#include "delta/image/analyze/settings.h"

namespace shoal::delta {
namespace {

using Kind = Segment::Kind;

size_t HashOf(std::string_view bytes) {
  return std::hash<std::string_view>()(bytes);
}

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "cancelled",
                   "analysing the image was cancelled");
}

bool IsCancelled(const AnalyzeOptions& options) {
  return options.cancel != nullptr && options.cancel->load();
}

// What became of a candidate.
struct Verdict {
  Kind kind = Kind::kRaw;
  CodecSetting setting;
  uint32_t raw = 0;
  uint64_t old_place = 0;
  size_t hash = 0;
};

class Examination {
 public:
  Examination(const LayerJob& job, const Candidates& found)
      : job_(job), found_(found), verdicts_(found.blocks.size()) {
    for (const Family& family : found.families) finders_.emplace_back(family);
  }

  absl::StatusOr<std::vector<Verdict>> Run() {
    std::vector<std::thread> threads;
    const int wanted = std::clamp(job_.options.threads, 1, 64);
    for (int i = 1; i < wanted; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    if (!status_.ok()) return status_;
    return std::move(verdicts_);
  }

 private:
  void Work() {
    BlockCodec codec;
    std::string raw;
    for (size_t i; (i = next_++) < found_.blocks.size();) {
      absl::Status status =
          IsCancelled(job_.options) ? Cancelled() : absl::OkStatus();
      if (status.ok()) status = Examine(codec, raw, i);
      const std::lock_guard lock(mutex_);
      if (!status.ok() && status_.ok()) status_ = status;
      if (!status_.ok()) return;
      if (job_.progress)
        job_.progress(job_.source.size + found_.blocks[i].offset);
    }
  }

  absl::Status Examine(BlockCodec& codec, std::string& raw, size_t i) {
    const Candidate& block = found_.blocks[i];
    Verdict& verdict = verdicts_[i];
    SHOAL_ASSIGN_OR_RETURN(const std::string stored,
                           job_.source.Bytes(block.offset, block.stored));
    verdict.hash = HashOf(stored);
    if (job_.old_blocks != nullptr) {
      SHOAL_ASSIGN_OR_RETURN(const uint64_t place,
                             job_.old_blocks->Find(*job_.old_source, stored));
      if (place != UINT64_MAX) {
        verdict.kind = Kind::kVerbatim;
        verdict.old_place = place;
        return absl::OkStatus();
      }
    }
    const CodecSetting& likely = found_.families[block.family].likely[0];
    if (likely.codec == ImageCodec::kDeflate &&
        block.most_raw > kMaxBufferedBlock)
      return ExamineLong(block, verdict);
    if (raw.size() < block.most_raw) raw.resize(block.most_raw);
    const auto length =
        codec.ExpandUpTo(likely, stored, raw.data(), block.most_raw);
    if (!length.ok())
      return absl::IsResourceExhausted(length.status()) ? length.status()
                                                        : absl::OkStatus();
    if (*length < kMinRaw) return absl::OkStatus();
    verdict.raw = static_cast<uint32_t>(*length);
    return Choose(
        block, verdict,
        [&](const CodecSetting& setting) -> absl::StatusOr<bool> {
          return Reproduces(codec, setting, {raw.data(), verdict.raw}, stored);
        });
  }

  absl::Status ExamineLong(const Candidate& block, Verdict& verdict) {
    verdict.raw = block.most_raw;  // measured by the parser
    return Choose(block, verdict, [&](const CodecSetting& setting) {
      return ReproducesLong(setting, job_.source, block, verdict.raw);
    });
  }

  // Tries settings until one reproduces the block.
  absl::Status Choose(
      const Candidate& block, Verdict& verdict,
      const std::function<absl::StatusOr<bool>(const CodecSetting&)>& test) {
    if (!job_.verify_exact) {
      verdict.kind = Kind::kBlock;
      verdict.setting = found_.families[block.family].likely[0];
      return absl::OkStatus();
    }
    SettingFinder& finder = finders_[block.family];
    for (const CodecSetting& setting : finder.Order()) {
      if (IsCancelled(job_.options)) return Cancelled();
      if (CompressMemory(setting, verdict.raw) >
          job_.options.max_rebuild_memory)
        continue;
      SHOAL_ASSIGN_OR_RETURN(const bool same, test(setting));
      if (!same) continue;
      finder.Worked(setting);
      verdict.kind = Kind::kBlock;
      verdict.setting = setting;
      return absl::OkStatus();
    }
    finder.InVain();
    return absl::OkStatus();
  }

  const LayerJob& job_;
  const Candidates& found_;
  std::deque<SettingFinder> finders_;
  std::vector<Verdict> verdicts_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  absl::Status status_;
};

// The setting's number; a new one is added while there is room.
int SettingNumber(std::vector<CodecSetting>& settings,
                  const CodecSetting& setting) {
  const auto known = std::find(settings.begin(), settings.end(), setting);
  if (known == settings.end()) {
    if (settings.size() == kMaxSettings) return -1;
    settings.push_back(setting);
    return static_cast<int>(settings.size()) - 1;
  }
  return static_cast<int>(known - settings.begin());
}

}  // namespace

void StoredBlocks::Add(uint64_t stored, size_t hash, uint64_t offset) {
  blocks_.emplace(hash, std::pair(stored, offset));
}

absl::StatusOr<uint64_t> StoredBlocks::Find(const Source& old,
                                            std::string_view bytes) const {
  const auto range = blocks_.equal_range(HashOf(bytes));
  for (auto i = range.first; i != range.second; ++i) {
    const auto& [stored, offset] = i->second;
    if (stored != bytes.size()) continue;
    SHOAL_ASSIGN_OR_RETURN(const std::string there, old.Bytes(offset, stored));
    if (there == bytes) return offset;
  }
  return UINT64_MAX;
}

absl::StatusOr<Layer> AnalyzeLayer(const LayerJob& job,
                                   std::vector<CodecSetting>& settings) {
  const uint64_t size = job.source.size;
  const uint64_t most_inner = std::min(
      kMaxExpandedSize, size > kMaxExpandedSize / job.options.max_expansion
                            ? kMaxExpandedSize
                            : size * job.options.max_expansion);
  SHOAL_ASSIGN_OR_RETURN(const Candidates found,
                         FindCandidates(job.source, most_inner,
                                        [&](uint64_t place) -> absl::Status {
                                          if (IsCancelled(job.options))
                                            return Cancelled();
                                          if (job.progress) job.progress(place);
                                          return absl::OkStatus();
                                        }));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                         Examination(job, found).Run());
  Layer layer;
  uint64_t at = 0, expanded = 0;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const Candidate& block = found.blocks[i];
    const Verdict& verdict = verdicts[i];
    if (job.collect != nullptr)
      job.collect->Add(block.stored, verdict.hash, block.offset);
    Segment segment{.kind = verdict.kind, .stored = block.stored};
    if (verdict.kind == Kind::kVerbatim) {
      segment.old_place = verdict.old_place;
    } else if (verdict.kind == Kind::kBlock) {
      // Everything else of the image counts as raw.
      if (verdict.raw > most_inner - std::min(most_inner, size) - expanded)
        continue;
      const int number = SettingNumber(settings, verdict.setting);
      if (number < 0) continue;
      expanded += verdict.raw;
      segment.setting = static_cast<uint8_t>(number);
      segment.raw = verdict.raw;
    } else {
      continue;
    }
    if (block.offset > at) AppendSegment(layer, {.stored = block.offset - at});
    AppendSegment(layer, segment);
    at = block.offset + block.stored;
  }
  if (at < size) AppendSegment(layer, {.stored = size - at});
  return layer;
}

}  // namespace shoal::delta
