// A device's whole refresh (two roots, timestamp, snapshot, targets, from an
// empty store) and the first look-up of a delegated target, beside tuf-js on
// the same repository in the same run:
//   tuf_bench [ROUNDS] [DIRECTORY]
// DIRECTORY (default /dev/shm) should be no disk: this side syncs what it
// stores, the other does not. Prints medians in µs, allocations and the ratio;
// docs/metadata.md has the figures.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <system_error>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "signing/verify/updater.h"
#include "tests/interop/tuf_repository.h"

namespace {

std::atomic<uint64_t> allocations{0};

}  // namespace

// Inlined, gcc 12 takes the pair for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  free(memory);
}

namespace shoal {
namespace {

constexpr int kWarmUp = 20;
constexpr char kPath[] = "bins/3";

struct Figures {
  std::vector<double> refresh_us, lookup_us;
  uint64_t refresh_allocations = 0, lookup_allocations = 0;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

absl::StatusOr<Figures> Measure(const std::string& repository,
                                const std::string& work, int rounds) {
  FileSystem& fs = RealFileSystem();
  Clock& clock = SystemClock();
  SHOAL_ASSIGN_OR_RETURN(
      const std::string root,
      fs.Read(repository + "/metadata/1.root.json", 1 << 20));
  Figures figures;
  for (int i = 0; i < kWarmUp + rounds; ++i) {
    signing::UpdaterOptions options;
    options.directory = fmt::format("{}/cc-{}", work, i);
    // As stock clients, which know no release log.
    options.anchored_by_root = true;
    SHOAL_RETURN_IF_ERROR(signing::Updater::InstallRoot(options.directory, root,
                                                        options.policy, fs));
    SHOAL_ASSIGN_OR_RETURN(auto updater,
                           signing::Updater::Open(options, fs, clock));
    signing::DirectoryFetcher source(fs, repository);
    const absl::Duration start = clock.MonotonicNow();
    const uint64_t before = allocations;
    SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
    const absl::Duration middle = clock.MonotonicNow();
    const uint64_t between = allocations;
    SHOAL_RETURN_IF_ERROR(updater->GetTarget(&source, kPath).status());
    const absl::Duration end = clock.MonotonicNow();
    const uint64_t after = allocations;
    if (i < kWarmUp) continue;
    figures.refresh_us.push_back(absl::ToDoubleMicroseconds(middle - start));
    figures.lookup_us.push_back(absl::ToDoubleMicroseconds(end - middle));
    figures.refresh_allocations = between - before;
    figures.lookup_allocations = after - between;
  }
  return figures;
}

int Main(int rounds, const std::string& directory) {
  std::string work = directory + "/tuf-bench-XXXXXX";
  if (mkdtemp(work.data()) == nullptr) {
    perror(work.c_str());
    return 1;
  }
  const std::string repository = work + "/repository";
  testing::MakeTufRepository(repository);
  const auto ours = Measure(repository, work, rounds);
  if (!ours.ok()) {
    fmt::print(stderr, "{}\n", ours.status().ToString());
    return 1;
  }
  SubprocessOptions node;
  node.arguments = {
      SHOAL_NODE, SHOAL_BENCH_SCRIPT,     SHOAL_INTEROP_DIR,       repository,
      work,       std::to_string(rounds), std::to_string(kWarmUp), kPath};
  const auto theirs = RunCommand(std::move(node), absl::Minutes(10));
  const auto json = nlohmann::json::parse(theirs.ok() ? theirs->output : "",
                                          nullptr, /*allow_exceptions=*/false);
  const double refresh = Median(ours->refresh_us);
  const double lookup = Median(ours->lookup_us);
  fmt::print("shoal   refresh {:8.0f} µs {:6} allocations\n", refresh,
             ours->refresh_allocations);
  fmt::print("shoal   look-up {:8.0f} µs {:6} allocations\n", lookup,
             ours->lookup_allocations);
  if (!json.is_object()) {
    fmt::print("tuf-js did not run (npm ci in {}?): {}\n", SHOAL_INTEROP_DIR,
               theirs.ok() ? theirs->output : theirs.status().ToString());
    return 1;
  }
  const double js_refresh = json["refresh_us"];
  const double js_lookup = json["lookup_us"];
  fmt::print("tuf-js  refresh {:8.0f} µs   ratio {:.3f}\n", js_refresh,
             refresh / js_refresh);
  fmt::print("tuf-js  look-up {:8.0f} µs   ratio {:.3f}\n", js_lookup,
             lookup / js_lookup);
  std::error_code error;
  std::filesystem::remove_all(work, error);
  return error ? 1 : 0;
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);  // the repository's maker asserts
  return shoal::Main(argc > 1 ? atoi(argv[1]) : 200,
                     argc > 2 ? argv[2] : "/dev/shm");
}
