#include "delta/image/analyze/layer_analysis.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "common/status.h"
#include "delta/image/analyze/lz4_plan.h"
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
  std::vector<Piece> pieces;
  uint64_t old_place = 0;
  size_t hash = 0;
};

// How many blocks of one writer are tried with every setting before the others
// are tried with those that worked.
constexpr size_t kSamples = 3;

class Examination {
 public:
  Examination(const LayerJob& job, const Candidates& found)
      : job_(job), found_(found), verdicts_(found.blocks.size()) {
    for (const Family& family : found.families) {
      auto order = SettingsToTry(family);
      if (job.options.may_use)
        std::erase_if(order, [&](const CodecSetting& setting) {
          return !job.options.may_use(setting.codec);
        });
      barred_.push_back(order.empty());
      orders_.push_back(std::move(order));
    }
  }

  // The verdicts do not depend on the number of threads.
  absl::StatusOr<std::vector<Verdict>> Run() {
    if (job_.verify_exact) SHOAL_RETURN_IF_ERROR(Sample());
    std::vector<std::thread> threads;
    const int wanted = std::clamp(job_.options.threads, 1, 64);
    for (int i = 1; i < wanted; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    if (!status_.ok()) return status_;
    return std::move(verdicts_);
  }

 private:
  using Test = std::function<absl::StatusOr<bool>(const CodecSetting&)>;

  // What one thread needs for a block at a time.
  struct Room {
    BlockCodec codec;
    std::string stored, raw;
  };

  // Replaces the order of each family of one writer by what reproduces a few
  // of its blocks. A writer whose samples resist every setting is another
  // program, and the rest is not tried.
  absl::Status Sample() {
    Room room;
    for (size_t i = 0; i < orders_.size(); ++i) {
      if (!found_.families[i].one_writer || barred_[i]) continue;
      std::vector<const Candidate*> blocks;
      for (const Candidate& block : found_.blocks)
        if (block.family == i) blocks.push_back(&block);
      std::vector<CodecSetting> worked;
      for (size_t k = 0; k < std::min(kSamples, blocks.size()); ++k) {
        // The first, one in the middle, the last.
        const Candidate& block =
            *blocks[k * (blocks.size() - 1) / (kSamples - 1)];
        SHOAL_ASSIGN_OR_RETURN(room.stored,
                               job_.source.Bytes(block.offset, block.stored));
        Verdict verdict;
        SHOAL_RETURN_IF_ERROR(ExpandAndChoose(block, room, verdict));
        if (verdict.kind == Kind::kBlock) worked.push_back(verdict.setting);
      }
      std::vector<CodecSetting> order;
      const auto add = [&](const std::vector<CodecSetting>& settings) {
        for (const CodecSetting& s : settings)
          if (std::find(order.begin(), order.end(), s) == order.end() &&
              std::find(orders_[i].begin(), orders_[i].end(), s) !=
                  orders_[i].end())
            order.push_back(s);
      };
      add(worked);
      if (!worked.empty()) add(found_.families[i].likely);
      orders_[i] = std::move(order);
    }
    return absl::OkStatus();
  }

  void Work() {
    Room room;
    for (size_t i; (i = next_++) < found_.blocks.size();) {
      absl::Status status =
          IsCancelled(job_.options) ? Cancelled() : absl::OkStatus();
      if (status.ok()) status = Examine(room, i);
      const std::lock_guard lock(mutex_);
      if (!status.ok() && status_.ok()) status_ = status;
      if (!status_.ok()) return;
      if (job_.progress)
        job_.progress(job_.source.size + found_.blocks[i].offset);
    }
  }

  absl::Status Examine(Room& room, size_t i) {
    const Candidate& block = found_.blocks[i];
    Verdict& verdict = verdicts_[i];
    SHOAL_ASSIGN_OR_RETURN(room.stored,
                           job_.source.Bytes(block.offset, block.stored));
    verdict.hash = HashOf(room.stored);
    if (job_.old_blocks != nullptr) {
      SHOAL_ASSIGN_OR_RETURN(
          const uint64_t place,
          job_.old_blocks->Find(*job_.old_source, room.stored));
      if (place != UINT64_MAX) {
        verdict.kind = Kind::kVerbatim;
        verdict.old_place = place;
        return absl::OkStatus();
      }
    }
    if (barred_[block.family]) return absl::OkStatus();
    return ExpandAndChoose(block, room, verdict);
  }

  absl::Status ExpandAndChoose(const Candidate& block, Room& room,
                               Verdict& verdict) {
    const std::vector<CodecSetting>& likely =
        found_.families[block.family].likely;
    if (likely[0].codec == ImageCodec::kDeflate &&
        block.most_raw > kMaxBufferedBlock) {
      verdict.raw = block.most_raw;  // measured by the parser
      verdict.setting = likely[0];
      return Choose(block, verdict, [&](const CodecSetting& setting) {
        return ReproducesLong(setting, job_.source, block, verdict.raw);
      });
    }
    if (room.raw.size() < block.most_raw) room.raw.resize(block.most_raw);
    for (const CodecSetting& setting : likely) {
      // They differ in the memory that expanding may take.
      const auto length = room.codec.ExpandUpTo(
          setting, room.stored, room.raw.data(), block.most_raw);
      if (absl::IsResourceExhausted(length.status())) return length.status();
      if (!length.ok() || *length < kMinRaw) continue;
      verdict.raw = static_cast<uint32_t>(*length);
      verdict.setting = setting;
      return Choose(
          block, verdict, [&](const CodecSetting& s) -> absl::StatusOr<bool> {
            const std::string_view raw(room.raw.data(), verdict.raw);
            if (s.codec != ImageCodec::kLz4HcPieces)
              return Reproduces(room.codec, s, raw, room.stored);
            SHOAL_ASSIGN_OR_RETURN(verdict.pieces,
                                   PlanLz4Pieces(s.level, raw, room.stored));
            return !verdict.pieces.empty();
          });
    }
    return absl::OkStatus();
  }

  // Tries settings until one reproduces the block.
  absl::Status Choose(const Candidate& block, Verdict& verdict,
                      const Test& test) {
    if (!job_.verify_exact) {
      verdict.kind = Kind::kBlock;
      // Nobody makes it again, so nobody asks for its pieces.
      if (verdict.setting.codec == ImageCodec::kLz4HcPieces)
        verdict.setting.codec = ImageCodec::kLz4Hc;
      return absl::OkStatus();
    }
    for (const CodecSetting& setting : orders_[block.family]) {
      if (IsCancelled(job_.options)) return Cancelled();
      if (CompressMemory(setting, verdict.raw) >
          job_.options.max_rebuild_memory)
        continue;
      SHOAL_ASSIGN_OR_RETURN(const bool same, test(setting));
      if (!same) continue;
      verdict.kind = Kind::kBlock;
      verdict.setting = setting;
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  const LayerJob& job_;
  const Candidates& found_;
  std::vector<std::vector<CodecSetting>> orders_;  // by family
  std::vector<bool> barred_;  // families of which no codec may be used
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
      segment.pieces = static_cast<uint16_t>(verdict.pieces.size());
      layer.pieces.insert(layer.pieces.end(), verdict.pieces.begin(),
                          verdict.pieces.end());
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
