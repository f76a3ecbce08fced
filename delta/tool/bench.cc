#include "delta/tool/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "common/status.h"
#include "delta/apply/bsdiff40.h"
#include "delta/format/format.h"
#include "delta/make/mapped_file.h"
#include "delta/tool/contenders.h"
#include "delta/tool/measure.h"

namespace shoal::delta {
namespace {

namespace fs = std::filesystem;

struct Row {
  std::string pair, program;
  std::string problem = "-";  // one word
  bool ours = false;
  uint64_t size = 0;
  uint64_t stated_memory = 0;  // ours only
  Cost make, apply;
};

// Rows are kept as words: an interrupted bench goes on.
std::string Encode(const Row& row) {
  std::string program = row.program;
  std::replace(program.begin(), program.end(), ' ', '_');
  return fmt::format(
      "{} {} {} {:d} {} {} {} {} {} {} {} {}\n", row.pair, program, row.problem,
      row.ours, row.size, row.stated_memory, row.make.cpu_seconds,
      row.make.megabytes, row.make.anonymous_megabytes, row.apply.cpu_seconds,
      row.apply.megabytes, row.apply.anonymous_megabytes);
}

std::vector<Row> ReadResults(const std::string& path) {
  std::vector<Row> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    Row row;
    if (!(words >> row.pair >> row.program >> row.problem >> row.ours >>
          row.size >> row.stated_memory >> row.make.cpu_seconds >>
          row.make.megabytes >> row.make.anonymous_megabytes >>
          row.apply.cpu_seconds >> row.apply.megabytes >>
          row.apply.anonymous_megabytes))
      continue;  // cut off
    std::replace(row.program.begin(), row.program.end(), '_', ' ');
    rows.push_back(row);
  }
  return rows;
}

uint64_t StatedMemory(const std::string& patch) {
  auto file = MappedFile::Open(patch);
  if (!file.ok()) return 0;
  if (IsBsdiff40((*file)->bytes())) return kBsdiff40Memory;
  auto header = ParseHeader((*file)->bytes().substr(0, kHeaderSize));
  return header.ok() ? header->reader_memory : 0;
}

bool SameBytes(const std::string& a, const std::string& b) {
  auto first = MappedFile::Open(a), second = MappedFile::Open(b);
  return first.ok() && second.ok() && (*first)->bytes() == (*second)->bytes();
}

Row RunOne(const std::string& pair, const Contender& contender,
           const BenchFiles& files, int time_limit) {
  Row row;
  row.pair = pair;
  row.program = contender.name;
  row.ours = contender.ours;
  if (!contender.prepare.empty())
    Measure(FillIn(contender.prepare, files), time_limit);
  row.make = Measure(FillIn(contender.make, files), time_limit);
  if (!row.make.ok) {
    row.problem = row.make.timed_out ? "time-limit" : "failed";
  } else {
    row.size = TransferSize(files);
    if (row.ours) row.stated_memory = StatedMemory(files.patch);
    row.apply = Measure(FillIn(contender.apply, files), time_limit);
    if (!row.apply.ok)
      row.problem = row.apply.timed_out ? "apply-time-limit" : "apply-failed";
    else if (!SameBytes(files.out, files.new_path))
      row.problem = "WRONG-RESULT";
  }
  std::error_code none;
  for (const std::string& path :
       {files.patch, files.out, files.seed_store, files.new_store})
    fs::remove_all(path, none);
  return row;
}

void PrintPair(const std::vector<Row>& rows) {
  uint64_t best_peer = 0;
  for (const Row& row : rows)
    if (!row.ours && row.problem == "-" &&
        (best_peer == 0 || row.size < best_peer))
      best_peer = row.size;
  for (const Row& row : rows) {
    if (row.problem == "time-limit") {
      fmt::print("| {} | {} | none in time | | > {:.0f} | {:.0f} | | | | |\n",
                 row.pair, row.program, row.make.cpu_seconds,
                 row.make.megabytes);
      continue;
    }
    const std::string ratio =
        best_peer == 0
            ? ""
            : fmt::format("{:.3f}", static_cast<double>(row.size) /
                                        static_cast<double>(best_peer));
    const std::string stated =
        row.ours ? fmt::format("{:.2f}",
                               static_cast<double>(row.stated_memory) / 1e6)
                 : "";
    fmt::print(
        "| {} | {} | {} | {} | {:.1f} | {:.0f} | {:.2f} | {:.1f} | {:.1f} | {} "
        "|{}\n",
        row.pair, row.program, row.size, ratio, row.make.cpu_seconds,
        row.make.megabytes, row.apply.cpu_seconds, row.apply.megabytes,
        row.apply.anonymous_megabytes, stated,
        row.problem == "-" ? "" : " " + row.problem);
  }
  fflush(stdout);
}

absl::StatusOr<std::vector<std::string>> FindPairs(
    const BenchOptions& options) {
  std::vector<std::string> pairs = options.pairs;
  std::error_code error;
  if (pairs.empty())
    for (const auto& entry : fs::directory_iterator(options.corpus, error))
      if (fs::exists(entry.path() / "old") && fs::exists(entry.path() / "new"))
        pairs.push_back(entry.path().filename());
  if (pairs.empty())
    return NotFound("not_found",
                    "no <pair>/old and <pair>/new in " + options.corpus);
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

}  // namespace

absl::Status RunBench(const BenchOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> pairs,
                         FindPairs(options));
  const std::vector<Contender> contenders = InstalledContenders(options.peers);
  const std::vector<Row> kept = ReadResults(options.results);
  std::ofstream keep;
  if (!options.results.empty()) {
    keep.open(options.results, std::ios::app);
    if (!keep) return ErrnoError(errno, "open " + options.results);
  }
  std::string scratch = fs::temp_directory_path() / "shoal-delta-bench.XXXXXX";
  if (mkdtemp(scratch.data()) == nullptr)
    return ErrnoError(errno, "make " + scratch);
  fmt::print(
      "| pair | program | patch | to the best peer | make CPU s | make MB | "
      "apply CPU s | apply MB | of it anonymous | stated MB |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n");
  int failed = 0;
  size_t step = 0;
  for (const std::string& pair : pairs) {
    const fs::path folder = fs::path(options.corpus) / pair;
    // casync tells an index by its name's end.
    const BenchFiles files{folder / "old",           folder / "new",
                           scratch + "/patch.caibx", scratch + "/out",
                           scratch + "/seed",        scratch + "/store"};
    std::vector<Row> rows;
    for (const Contender& contender : contenders) {
      ++step;
      const auto known =
          std::find_if(kept.begin(), kept.end(), [&](const Row& row) {
            return row.pair == pair && row.program == contender.name;
          });
      if (known != kept.end()) {
        rows.push_back(*known);
        continue;
      }
      fmt::print(stderr, "[{}/{}] {}: {}\n", step,
                 pairs.size() * contenders.size(), pair, contender.name);
      rows.push_back(RunOne(pair, contender, files, options.time_limit));
      if (keep.is_open()) keep << Encode(rows.back()) << std::flush;
    }
    for (const Row& row : rows)
      if (row.ours && row.problem != "-") ++failed;
    PrintPair(rows);
  }
  std::error_code error;
  fs::remove_all(scratch, error);
  if (failed > 0)
    return Internal("bench_failed", fmt::format("{} patches failed", failed));
  return absl::OkStatus();
}

}  // namespace shoal::delta
