// mix_bench [-l LEVEL] [-c FILE] OLD NEW: what the context-mixing coder makes
// of the alignments that the delta maker finds. Prints the bytes that go into
// control, adds and inserts and the speed of both directions; checks that the
// decoder gives NEW back. -c keeps the alignments in FILE for the next run.
// Not a test:
//
//   for level in 1 2 3 4; do mix_bench -l $level old new; done
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "delta/entropy/mix_coder.h"
#include "delta/make/block_match.h"
#include "delta/make/matcher.h"
#include "delta/make/plan.h"

namespace shoal::delta {
namespace {

// An alignment, or `size` new bytes when `old_at` is kNew.
struct Step {
  uint64_t new_at, old_at, size;
};
constexpr uint64_t kNew = ~uint64_t{0};
constexpr uint64_t kWindow = 1 << 20;

std::string ReadFile(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::span<const uint8_t> Bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

std::vector<Step> FindSteps(std::string_view old_image,
                            std::string_view new_image) {
  std::vector<Step> steps;
  uint64_t at = 0;
  const auto append = [&](const Match& m) {
    if (m.new_at > at) steps.push_back({at, kNew, m.new_at - at});
    if (!steps.empty() && steps.back().old_at != kNew &&
        steps.back().old_at + steps.back().size == m.old_at &&
        steps.back().new_at + steps.back().size == m.new_at)
      steps.back().size += m.size;
    else
      steps.push_back({m.new_at, m.old_at, m.size});
    at = m.new_at + m.size;
  };
  const BlockMatches matches =
      FindBlockMatches(old_image, new_image, [] { return true; });
  for (const Unit& unit :
       MakePlan(old_image.size(), new_image.size(), matches, 8 << 20)) {
    const Matcher matcher(old_image, unit.old_ranges, unit.gap_bytes >= 64);
    for (const Piece& piece : unit.pieces) {
      if (piece.copy) {
        append(*piece.copy);
        continue;
      }
      for (const Match& m :
           matcher.FindAlignments(new_image, piece.gap, nullptr))
        append(m);
    }
  }
  if (at < new_image.size()) steps.push_back({at, kNew, new_image.size() - at});
  return steps;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec) / 1e6;
}

// The next part of a step that fits into the window.
uint64_t PartSize(const Step& step, uint64_t done, uint64_t window_left) {
  const uint64_t left = step.size - done;
  if (left <= window_left) return left;
  return std::min(left,
                  std::max<uint64_t>(window_left / kMixBlock, 1) * kMixBlock);
}

int Run(int level, const char* cache, const char* old_path,
        const char* new_path) {
  const std::string old_image = ReadFile(old_path);
  const std::string new_image = ReadFile(new_path);
  std::vector<Step> steps;
  if (cache != nullptr) {
    const std::string kept = ReadFile(cache);
    steps.resize(kept.size() / sizeof(Step));
    memcpy(steps.data(), kept.data(), steps.size() * sizeof(Step));
  }
  if (steps.empty()) {
    steps = FindSteps(old_image, new_image);
    if (cache != nullptr)
      std::ofstream(cache, std::ios::binary)
          .write(reinterpret_cast<const char*>(steps.data()),
                 static_cast<std::streamsize>(steps.size() * sizeof(Step)));
  }

  auto encoder = MixEncoder::Create(level);
  if (!encoder.ok()) return 2;
  MixEncoder& e = **encoder;
  std::vector<std::string> windows;
  size_t control = 0, add = 0, insert = 0, inserted = 0, total = 0;
  size_t adds = 0;
  size_t last = 0;
  const auto account = [&](size_t& sum) {
    sum += e.WindowSize() - last;
    last = e.WindowSize();
  };
  double start = CpuSeconds();
  uint64_t window_left = kWindow, old_end = 0;
  const auto end_window = [&] {
    windows.push_back(e.EndWindow());
    total += windows.back().size();
    window_left = kWindow;
    last = 0;
  };
  for (const Step& step : steps) {
    for (uint64_t done = 0; done < step.size;) {
      const uint64_t n = PartSize(step, done, window_left);
      const uint64_t new_at = step.new_at + done;
      const auto fresh = Bytes(new_image).subspan(new_at, n);
      const bool insertion = step.old_at == kNew;
      e.Number(NumberKind::kOperation, insertion ? 1 : 0);
      if (insertion) {
        e.Number(NumberKind::kInsertLength, n);
        account(control);
        e.Insert({Bytes(old_image), old_end, old_end}, new_at, fresh);
        account(insert);
        inserted += n;
      } else {
        const uint64_t old_at = step.old_at + done;
        e.Number(NumberKind::kAddLength, n);
        e.Place(new_at, old_at);
        account(control);
        e.Add({Bytes(old_image), old_at, old_at}, new_at, fresh);
        account(add);
        old_end = old_at + n;
        ++adds;
      }
      done += n;
      window_left -= std::min(window_left, n);
      if (window_left == 0) end_window();
    }
  }
  end_window();
  const double encode_seconds = CpuSeconds() - start;

  auto decoder = MixDecoder::Create(level);
  if (!decoder.ok()) return 2;
  MixDecoder& d = **decoder;
  std::string result(new_image.size(), 0);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(result.data()),
                               result.size());
  start = CpuSeconds();
  uint64_t at = 0;
  old_end = 0;
  for (const std::string& window : windows) {
    d.BeginWindow(Bytes(window));
    for (uint64_t begin = at; at < out.size() && at - begin < kWindow;) {
      const uint64_t operation = *d.Number(NumberKind::kOperation);
      if (operation == 1) {
        const uint64_t n = *d.Number(NumberKind::kInsertLength);
        if (!d.Insert({Bytes(old_image), old_end, old_end}, at,
                      out.subspan(at, n))
                 .ok())
          return 1;
        at += n;
      } else {
        const uint64_t n = *d.Number(NumberKind::kAddLength);
        const uint64_t old_at = *d.Place(at);
        if (!d.Add({Bytes(old_image), old_at, old_at}, at, out.subspan(at, n))
                 .ok())
          return 1;
        old_end = old_at + n;
        at += n;
      }
    }
    if (!d.EndWindow().ok()) return 1;
  }
  const double decode_seconds = CpuSeconds() - start;
  const double megabytes = static_cast<double>(new_image.size()) / 1e6;
  fmt::print(
      "level {} total {} = control {} ({} adds) + add {} + insert {} (of {}); "
      "MB/s: encode {:.1f}, decode {:.1f}; {:.2f} MiB; {}\n",
      level, total, control, adds, add, insert, inserted,
      megabytes / encode_seconds, megabytes / decode_seconds,
      static_cast<double>(MixMemory(level)) / (1 << 20),
      result == new_image ? "ok" : "WRONG");
  return result == new_image ? 0 : 1;
}

}  // namespace
}  // namespace shoal::delta

int main(int argc, char** argv) {
  int level = shoal::delta::kDefaultMixLevel;
  const char* cache = nullptr;
  for (int option; (option = getopt(argc, argv, "l:c:")) != -1;) {
    if (option == 'l') level = atoi(optarg);
    if (option == 'c') cache = optarg;
  }
  if (argc - optind != 2) {
    fmt::print(stderr, "usage: mix_bench [-l LEVEL] [-c FILE] OLD NEW\n");
    return 2;
  }
  return shoal::delta::Run(level, cache, argv[optind], argv[optind + 1]);
}
