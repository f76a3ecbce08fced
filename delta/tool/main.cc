// shoal-delta: makes, applies, shows and measures deltas by hand. It trusts a
// patch's own header for the expected result; devices do not (shoal-patch).
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "common/bytes.h"
#include "common/command_line.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/make/make.h"
#include "delta/make/reader_plan.h"
#include "delta/tool/apply_file.h"
#include "delta/tool/bench.h"
#include "delta/tool/info.h"

namespace shoal::delta {
namespace {

void ShowProgress(uint64_t done, uint64_t total) {
  if (!isatty(2)) return;
  constexpr int kWidth = 40;
  const uint64_t percent = total == 0 ? 100 : done * 100 / total;
  const size_t full = static_cast<size_t>(percent * kWidth / 100);
  fmt::print(stderr, "\r[{}{}] {:3} % of {}{}", std::string(full, '#'),
             std::string(kWidth - full, ' '), percent, HumanBytes(total),
             done >= total ? "\n" : "");
}

struct Paths {
  std::string old_path, new_path, patch_path, svg_path;
};

absl::Status Make(MakeOptions options, const Paths& paths) {
  options.progress = ShowProgress;
  SHOAL_ASSIGN_OR_RETURN(
      const MakeStats stats,
      MakeDelta(options, paths.old_path, paths.new_path, paths.patch_path));
  fmt::print("patch {} bytes for {} bytes ({:.2f} %), {} windows\n",
             stats.patch_size, stats.new_size,
             stats.new_size == 0
                 ? 0.0
                 : 100.0 * static_cast<double>(stats.patch_size) /
                       static_cast<double>(stats.new_size),
             stats.windows);
  fmt::print("sha256 {}\nreader memory {} bytes\n",
             HexEncode(stats.patch_sha256), stats.reader_memory);
  return absl::OkStatus();
}

absl::Status Apply(const Paths& paths, uint64_t max_memory) {
  SHOAL_ASSIGN_OR_RETURN(const AppliedFile applied,
                         ApplyFile({paths.old_path, paths.patch_path,
                                    paths.new_path, max_memory, ShowProgress}));
  fmt::print("{} bytes, sha256 {}\n", applied.size, HexEncode(applied.sha256));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Deltas between two images, in the format of docs/delta-format.md"};
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  shoal-delta make gateway-1.0.img gateway-1.1.img 1.0-to-1.1.sdelta\n"
      "  shoal-delta make --mode zstd --memory 4M old.img new.img "
      "small.sdelta\n"
      "  shoal-delta make --format bsdiff old.img new.img for-bspatch.patch\n"
      "  shoal-delta apply gateway-1.0.img 1.0-to-1.1.sdelta result.img\n"
      "  shoal-delta info --svg where.svg 1.0-to-1.1.sdelta\n"
      "  shoal-delta bench corpus");
  Paths paths;
  MakeOptions make_options;
  uint64_t max_memory = 16u << 20;  // what the largest model takes
  BenchOptions bench_options;
  const auto bytes = CLI::AsSizeValue(false);

  CLI::App* make = app.add_subcommand("make", "Make the delta from OLD to NEW");
  make->add_option("OLD", paths.old_path, "The image that devices run")
      ->required();
  make->add_option("NEW", paths.new_path, "The image that they shall run")
      ->required();
  make->add_option("PATCH", paths.patch_path, "The delta to write")->required();
  make->add_option("--mode", make_options.coding,
                   "model: the smallest; zstd: applied fastest")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Coding>{
          {"model", Coding::kModel}, {"zstd", Coding::kZstd}}))
      ->default_str("model");
  make->add_option("--memory", make_options.max_reader_memory,
                   "What applying may take on the device, e.g. 4M; the mode, "
                   "the model's size and what is expanded are chosen by it")
      ->transform(bytes)
      ->default_str("8M");
  make->add_option("--format", make_options.format,
                   "sdelta, or bsdiff for classic bspatch")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Format>{
          {"sdelta", Format::kSdelta}, {"bsdiff", Format::kBsdiff40}}))
      ->default_str("sdelta");
  make->add_option("--threads", make_options.threads, "1 to 64")
      ->capture_default_str();
  make->add_option("--window", make_options.window_size,
                   "Bytes of a window, a power of two")
      ->transform(bytes)
      ->default_str("1M");
  make->add_option("--segment", make_options.segment_size,
                   "Bytes that are matched at a time; memory grows with it")
      ->transform(bytes)
      ->default_str("4M");
  make->add_option("--level", make_options.zstd_level, "zstd level, 1 to 22")
      ->capture_default_str();
  bool raw = false;
  make->add_flag("--no-expand", raw,
                 "Take compressed content of the images as it is");

  CLI::App* apply = app.add_subcommand("apply", "Make NEW from OLD and PATCH");
  apply->add_option("OLD", paths.old_path, "The base")->required();
  apply->add_option("PATCH", paths.patch_path, "The delta")->required();
  apply->add_option("NEW", paths.new_path, "The result; must not exist")
      ->required();
  apply->add_option("--max-memory", max_memory, "Bytes that it may take")
      ->transform(bytes)
      ->default_str("16M");

  CLI::App* info = app.add_subcommand(
      "info", "Show what is in a delta, and where it is big");
  info->add_option("PATCH", paths.patch_path, "The delta")->required();
  info->add_option("--svg", paths.svg_path, "Write the plot as SVG");

  CLI::App* bench = app.add_subcommand(
      "bench", "Measure against other delta programs that are installed");
  bench
      ->add_option("CORPUS", bench_options.corpus,
                   "A folder of pairs: <pair>/old and <pair>/new")
      ->required();
  bench->add_option("PAIR", bench_options.pairs, "Only these");
  bench->add_flag("!--no-peers", bench_options.peers, "Only shoal-delta");
  bench
      ->add_option("--time-limit", bench_options.time_limit,
                   "CPU seconds for one patch")
      ->capture_default_str();
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  absl::Status status;
  make_options.expand = !raw;
  if (*make)
    status = Make(make_options, paths);
  else if (*apply)
    status = Apply(paths, max_memory);
  else if (*info)
    status = PrintInfo(paths.patch_path, paths.svg_path);
  else
    status = RunBench(bench_options);
  if (status.ok()) return 0;
  fmt::print(stderr, "shoal-delta: {}: {}\n", ReasonOf(status),
             std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace shoal::delta

int main(int argc, char** argv) { return shoal::delta::Main(argc, argv); }
