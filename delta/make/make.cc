#include "delta/make/make.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/bsdiff40.h"
#include "delta/make/block_match.h"
#include "delta/make/bsdiff40.h"
#include "delta/make/expanded_pair.h"
#include "delta/make/group_writer.h"
#include "delta/make/mapped_file.h"
#include "delta/make/matcher.h"
#include "delta/make/operations.h"
#include "delta/make/patch_file.h"
#include "delta/make/plan.h"
#include "delta/make/progress.h"
#include "delta/make/reader_plan.h"
#include "delta/make/self_check.h"
#include "delta/make/unit_pool.h"
#include "delta/make/window_writer.h"

namespace shoal::delta {
namespace {

// Below this many unexplained bytes a suffix array costs more time than the
// few bytes it could save.
constexpr uint64_t kWorthASuffixArray = 64;
// Equal runs within alignments become copies from this length on; shorter ones
// are cheaper as part of what is coded.
constexpr uint64_t kCopyRun = 512;
// Most bytes of a group that a reader makes again when it resumes.
constexpr uint64_t kGroupCoded = 32 << 20;
// A model's patch above this part of the new image may be of content that only
// zstd's long repeats make smaller.
constexpr uint64_t kPoorPart = 4;

// How far making is after each part, in percent of its usual time.
constexpr uint64_t kExpanded = 20, kMade = 60, kMadeAgain = 80;

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "cancelled",
                   "making the delta was cancelled");
}

bool IsCancelled(const MakeOptions& options) {
  return options.cancel != nullptr && options.cancel->load();
}

absl::StatusOr<std::string> Digest(const MappedFile& file,
                                   const MakeOptions& options) {
  constexpr uint64_t kStep = 8 << 20;
  crypto::Sha256 digest;
  for (uint64_t at = 0; at < file.bytes().size(); at += kStep) {
    if (IsCancelled(options)) return Cancelled();
    digest.Update(file.bytes().substr(at, kStep));
    file.Release();
  }
  return digest.Finish();
}

absl::Status CheckOptions(const MakeOptions& options) {
  if (options.threads < 1 || options.threads > 64)
    return InvalidArgument("bad_argument", "threads is 1 to 64");
  if (options.window_size < kMinWindowSize ||
      options.window_size > kMaxWindowSize ||
      !std::has_single_bit(options.window_size))
    return InvalidArgument("bad_argument",
                           "window_size is a power of two, 4 KiB to 64 MiB");
  if (options.segment_size < (64u << 10) || options.segment_size > (256u << 20))
    return InvalidArgument("bad_argument", "segment_size is 64 KiB to 256 MiB");
  if (options.zstd_level < 1 || options.zstd_level > 22)
    return InvalidArgument("bad_argument", "zstd_level is 1 to 22");
  return absl::OkStatus();
}

// The images and all that is known before the first byte of the result.
struct Job {
  const MakeOptions& options;
  Progress& progress;
  std::string_view old_image, new_image;
  std::vector<Unit> units;
  Header header;
  std::string header_checksum;
};

absl::Status FindOperations(const Job& job, const Unit& unit,
                            OperationList& list) {
  const Matcher matcher(job.old_image, unit.old_ranges,
                        unit.gap_bytes >= kWorthASuffixArray);
  for (const Piece& piece : unit.pieces) {
    if (IsCancelled(job.options)) return Cancelled();
    if (piece.copy) {
      list.AddCopy(piece.copy->old_at, piece.copy->size);
      continue;
    }
    const std::vector<Match> alignments =
        matcher.FindAlignments(job.new_image, piece.gap, job.options.cancel);
    if (IsCancelled(job.options)) return Cancelled();
    for (const Match& m : alignments) {
      list.AddNew(m.new_at - list.new_at());
      list.AddAligned(m.old_at, m.size);
    }
    list.AddNew(piece.gap.end - list.new_at());
  }
  return absl::OkStatus();
}

// What a worker makes of a unit: its windows, or only its operations when the
// model codes them, which goes in order.
struct UnitResult {
  absl::Status status;
  std::vector<Operation> operations;
  std::string bytes;
  uint64_t windows = 0;
};

UnitResult MakeUnit(const Job& job, const Unit& unit) {
  UnitResult result;
  const Piece& first = unit.pieces.front();
  const uint64_t start = first.copy ? first.copy->new_at : first.gap.begin;
  const auto run = [&]() -> absl::Status {
    OperationList list(job.old_image, job.new_image, start, kCopyRun);
    SHOAL_RETURN_IF_ERROR(FindOperations(job, unit, list));
    result.operations = list.operations();
    if (job.header.coding == Coding::kModel ||
        job.options.format == Format::kBsdiff40)
      return absl::OkStatus();
    WindowWriter writer(job.old_image, job.new_image, job.header_checksum,
                        job.header.window_size, job.options.zstd_level, start,
                        &result.bytes);
    for (const Operation& operation : result.operations) {
      if (IsCancelled(job.options)) return Cancelled();
      SHOAL_RETURN_IF_ERROR(writer.Add(operation));
    }
    result.windows = writer.windows();
    SHOAL_RETURN_IF_ERROR(writer.Finish());
    result.windows = writer.windows();
    return absl::OkStatus();
  };
  try {
    result.status = run();
  } catch (const std::bad_alloc&) {
    result.status = ResourceExhausted(
        "out_of_memory", "no memory for a segment: make segment_size smaller");
  }
  return result;
}

// Where operations go, in order, that are not coded by the workers.
struct Sink {
  std::function<absl::Status(const Operation&)> add;
  std::function<absl::Status()> finish;
};

absl::StatusOr<Sink> ModelSink(const Job& job,
                               const std::function<void()>& release,
                               PatchFile& patch, MakeStats& stats) {
  GroupWriterOptions options;
  options.header_checksum = job.header_checksum;
  options.window_size = job.header.window_size;
  options.group_log2 = job.header.group_log2;
  options.group_coded = kGroupCoded;
  options.model_level = job.header.model_level;
  options.zstd_level = job.options.zstd_level;
  options.cancel = job.options.cancel;
  options.release = release;
  options.write = [&](std::string_view bytes) { return patch.Append(bytes); };
  SHOAL_ASSIGN_OR_RETURN(
      std::shared_ptr<GroupWriter> writer,
      GroupWriter::Create(job.old_image, job.new_image, options));
  return Sink{[writer](const Operation& o) { return writer->Add(o); },
              [writer, &stats]() -> absl::Status {
                SHOAL_RETURN_IF_ERROR(writer->Finish());
                stats.windows = writer->windows();
                return absl::OkStatus();
              }};
}

Sink BsdiffSink(const Job& job, PatchFile& patch) {
  auto writer = std::make_shared<Bsdiff40Writer>(job.old_image, job.new_image);
  return Sink{[writer](const Operation& o) { return writer->Add(o); },
              [writer, &patch]() -> absl::Status {
                SHOAL_ASSIGN_OR_RETURN(const std::string all, writer->Finish());
                return patch.Append(all);
              }};
}

absl::Status WritePatchOrThrow(const Job& job, const MappedFile& old_file,
                               const MappedFile& new_file, PatchFile& patch,
                               MakeStats& stats) {
  const MakeOptions& options = job.options;
  const auto release = [&] {
    old_file.Release();
    new_file.Release();
  };
  Sink sink;
  if (options.format == Format::kBsdiff40) {
    sink = BsdiffSink(job, patch);
  } else if (job.header.coding == Coding::kModel) {
    SHOAL_ASSIGN_OR_RETURN(sink, ModelSink(job, release, patch, stats));
  }
  UnitPool<UnitResult> pool(job.units.size(), options.threads, [&](size_t i) {
    return MakeUnit(job, job.units[i]);
  });
  for (size_t i = 0; i < job.units.size(); ++i) {
    const UnitResult result = pool.Take(i);
    SHOAL_RETURN_IF_ERROR(result.status);
    SHOAL_RETURN_IF_ERROR(patch.Append(result.bytes));
    stats.windows += result.windows;
    for (const Operation& operation : result.operations) {
      if (operation.kind == OperationKind::kCopy)
        stats.copied += operation.size;
      if (sink.add) SHOAL_RETURN_IF_ERROR(sink.add(operation));
    }
    release();
    job.progress.Part(job.units[i].new_end, job.new_image.size());
  }
  return sink.finish ? sink.finish() : absl::OkStatus();
}

absl::Status WritePatch(const Job& job, const MappedFile& old_file,
                        const MappedFile& new_file, PatchFile& patch,
                        MakeStats& stats) {
  try {
    return WritePatchOrThrow(job, old_file, new_file, patch, stats);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("out_of_memory", "no memory for a coder");
  }
}

// A patch under its temporary name, and how it came out.
struct Made {
  std::unique_ptr<PatchFile> patch;
  MakeStats stats;
};

absl::StatusOr<Made> MakeOne(Job& job, const Header& header,
                             const ExpandedPair& expanded,
                             const MappedFile& old_side,
                             const MappedFile& new_side,
                             const std::string& patch_path) {
  job.header = header;
  std::string encoded = EncodeHeader(header);
  job.header_checksum = encoded.substr(kHeaderSize - kChecksumSize);
  if (header.maps_size > 0) {
    encoded += WindowChecksum(job.header_checksum, 0, "", expanded.maps);
    encoded += expanded.maps;
  }
  Made made;
  SHOAL_ASSIGN_OR_RETURN(made.patch, PatchFile::Create(patch_path));
  if (job.options.format == Format::kSdelta)
    SHOAL_RETURN_IF_ERROR(made.patch->Append(encoded));
  SHOAL_RETURN_IF_ERROR(
      WritePatch(job, old_side, new_side, *made.patch, made.stats));
  made.stats.reader_memory = job.options.format == Format::kBsdiff40
                                 ? kBsdiff40Memory
                                 : header.reader_memory;
  if (job.options.format == Format::kSdelta)
    made.stats.model_version = header.model_version;
  return made;
}

}  // namespace

absl::StatusOr<MakeStats> MakeDelta(const MakeOptions& options,
                                    const std::string& old_path,
                                    const std::string& new_path,
                                    const std::string& patch_path) {
  SHOAL_RETURN_IF_ERROR(CheckOptions(options));
  SHOAL_ASSIGN_OR_RETURN(auto old_file, MappedFile::Open(old_path));
  SHOAL_ASSIGN_OR_RETURN(auto new_file, MappedFile::Open(new_path));
  Progress progress(options.progress, new_file->bytes().size());
  progress.BeginPart(kExpanded);
  SHOAL_ASSIGN_OR_RETURN(const ReaderPlan plan,
                         PlanReader(options, *old_file, *new_file, patch_path,
                                    [&](uint64_t done, uint64_t total) {
                                      progress.Part(done, total);
                                    }));
  const ExpandedPair& expanded = plan.expanded;
  const MappedFile& old_side =
      expanded.old_file ? *expanded.old_file : *old_file;
  const MappedFile& new_side =
      expanded.new_file ? *expanded.new_file : *new_file;

  Job job{options, progress, old_side.bytes(), new_side.bytes(), {}, {}, {}};
  Header header = plan.header;
  header.old_size = old_file->bytes().size();
  header.new_size = new_file->bytes().size();
  SHOAL_ASSIGN_OR_RETURN(header.old_sha256, Digest(*old_file, options));
  SHOAL_ASSIGN_OR_RETURN(header.new_sha256, Digest(*new_file, options));

  const BlockMatches matches =
      FindBlockMatches(job.old_image, job.new_image, [&] {
        old_side.Release();
        new_side.Release();
        return !IsCancelled(options);
      });
  if (IsCancelled(options)) return Cancelled();
  job.units = MakePlan(job.old_image.size(), job.new_image.size(), matches,
                       options.segment_size);

  progress.BeginPart(kMade);
  SHOAL_ASSIGN_OR_RETURN(Made made, MakeOne(job, header, expanded, old_side,
                                            new_side, patch_path));
  if (header.coding == Coding::kModel &&
      made.patch->size() > header.new_size / kPoorPart) {
    progress.BeginPart(kMadeAgain);
    SHOAL_ASSIGN_OR_RETURN(Made other,
                           MakeOne(job, WithoutModel(options, header), expanded,
                                   old_side, new_side, patch_path));
    if (other.patch->size() < made.patch->size()) made = std::move(other);
  }
  if (options.verify) {
    progress.BeginPart(100);
    SHOAL_RETURN_IF_ERROR(SelfCheck(
        made.patch->temporary(), header.new_sha256, *old_file, *new_file,
        options.cancel,
        [&](uint64_t done) { progress.Part(done, header.new_size); }));
  }
  MakeStats& stats = made.stats;
  stats.codecs = expanded.codecs;
  stats.patch_size = made.patch->size();
  stats.patch_sha256 = made.patch->Digest();
  SHOAL_RETURN_IF_ERROR(made.patch->Commit());
  progress.Finish();
  stats.old_size = header.old_size;
  stats.new_size = header.new_size;
  stats.old_sha256 = header.old_sha256;
  stats.new_sha256 = header.new_sha256;
  return stats;
}

}  // namespace shoal::delta
