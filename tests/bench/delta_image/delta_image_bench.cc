// What the image maps of a pair cost and give:
//
//   delta_image_bench OLD NEW [--keep DIR]
//   delta_image_bench --expand IMAGE OUT    without proof, nothing verbatim
//
// Analyses both, writes both expanded images (to DIR, as old.expanded and
// new.expanded, for a differ to be tried on them), rebuilds NEW from its
// expanded image in a process of its own and compares the digests. Memory is
// that of the step's process: anonymous, at its peak, above what it began with.
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/image/analyze/analyze.h"
#include "delta/image/expanded_reader.h"
#include "delta/image/rebuilder.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  exit(1);
}
template <typename T>
T Value(absl::StatusOr<T> value) {
  Require(value.status());
  return std::move(value).value();
}

ReadAt Reads(const MappedFile& file) {
  const std::string_view bytes = file.bytes();
  return [bytes](uint64_t offset, char* buffer, size_t size) {
    memcpy(buffer, bytes.data() + offset, size);
    return absl::OkStatus();
  };
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return t.tv_sec + t.tv_usec / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t AnonymousKb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8));
  return 0;
}

// Runs a step in a process of its own and prints what it took.
template <typename Step>
void Measure(const char* name, Step step) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    // What the parent's allocator holds ready must not hide anything.
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    malloc_trim(0);
    const uint64_t before = AnonymousKb();
    uint64_t peak = before;
    const auto sample = [&] { peak = std::max(peak, AnonymousKb()); };
    const double cpu = CpuSeconds();
    const auto start = std::chrono::steady_clock::now();
    step(sample);
    sample();
    const std::chrono::duration<double> wall =
        std::chrono::steady_clock::now() - start;
    printf("%-8s %7.2f s CPU, %7.2f s, %6.1f MiB anonymous\n", name,
           CpuSeconds() - cpu, wall.count(), (peak - before) / 1024.0);
    fflush(stdout);
    _exit(0);
  }
  int result = 0;
  waitpid(child, &result, 0);
  if (result != 0) exit(1);
}

std::string Compressed(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(
      ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 19));
  return out;
}

void PrintMap(const char* name, const ImageMap& map) {
  printf("%s: %llu bytes, expanded %llu\n", name,
         static_cast<unsigned long long>(map.image_size),
         static_cast<unsigned long long>(map.ExpandedSize()));
  for (const Layer& layer : map.layers) {
    std::map<std::string, std::pair<uint64_t, uint64_t>> kinds;
    for (const Segment& s : layer.segments) {
      auto& [count, stored] = kinds[s.kind == Segment::Kind::kRaw ? "raw"
                                    : s.kind == Segment::Kind::kVerbatim
                                        ? "verbatim"
                                        : Describe(map.settings[s.setting])];
      ++count;
      stored += s.stored;
    }
    printf("  layer of %zu segments, %llu -> %llu\n", layer.segments.size(),
           static_cast<unsigned long long>(layer.outer_size),
           static_cast<unsigned long long>(layer.inner_size));
    for (const auto& [kind, sum] : kinds)
      printf("    %6llu %10llu bytes %5.1f %%  %s\n",
             static_cast<unsigned long long>(sum.first),
             static_cast<unsigned long long>(sum.second),
             100.0 * sum.second / layer.outer_size, kind.c_str());
  }
}

void Append(FILE* file, std::string_view bytes) {
  if (fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) {
    perror("write");
    exit(1);
  }
}

int ExpandOne(const char* image, const char* out_path) {
  const auto file = Value(MappedFile::Open(image));
  AnalyzeOptions options;
  options.verify_exact = false;
  const ImageMap map =
      Value(Analyze(Reads(*file), file->bytes().size(), options));
  PrintMap(image, map);
  FILE* const out = fopen(out_path, "wb");
  if (out == nullptr) return 1;
  Require(WriteExpanded(map, Reads(*file), [&](std::string_view bytes) {
    Append(out, bytes);
    return absl::OkStatus();
  }));
  return fclose(out);
}

int Main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "--expand") == 0)
    return ExpandOne(argv[2], argv[3]);
  if (argc != 3 && !(argc == 5 && strcmp(argv[3], "--keep") == 0)) {
    fprintf(stderr,
            "usage: delta_image_bench OLD NEW [--keep DIR]\n"
            "       delta_image_bench --expand IMAGE OUT\n");
    return 2;
  }
  char temporary[] = "/tmp/delta_image_bench.XXXXXX";
  const std::string folder = argc == 5 ? argv[4] : mkdtemp(temporary);
  const auto old_file = Value(MappedFile::Open(argv[1]));
  const auto new_file = Value(MappedFile::Open(argv[2]));
  const ReadAt read_old = Reads(*old_file), read_new = Reads(*new_file);

  const double cpu = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  const ImagePair pair =
      Value(AnalyzePair(read_old, old_file->bytes().size(), read_new,
                        new_file->bytes().size(), {}));
  const std::chrono::duration<double> wall =
      std::chrono::steady_clock::now() - start;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  PrintMap("old", pair.old_map);
  PrintMap("new", pair.new_map);
  const std::string maps =
      SerializeImageMap(pair.old_map) + SerializeImageMap(pair.new_map);
  printf("maps     %zu bytes (old %zu), %zu compressed; in memory %llu\n",
         maps.size(), SerializeImageMap(pair.old_map).size(),
         Compressed(maps).size(),
         static_cast<unsigned long long>(MemoryOf(pair.old_map) +
                                         MemoryOf(pair.new_map)));
  printf("declared reader %llu, rebuilder %llu bytes\n",
         static_cast<unsigned long long>(
             ExpandedReaderMemory(pair.old_map, ExpandedReader::kDefaultCache)),
         static_cast<unsigned long long>(RebuilderMemory(pair.new_map)));
  printf("analyse  %7.2f s CPU, %7.2f s\n", CpuSeconds() - cpu, wall.count());

  const auto expand = [&](const char* name, const ImageMap& map,
                          const ReadAt& read) {
    Measure("expand", [&](const auto& sample) {
      FILE* const out = fopen((folder + name).c_str(), "wb");
      if (out == nullptr) exit(1);
      Require(WriteExpanded(map, read, [&](std::string_view bytes) {
        sample();
        Append(out, bytes);
        return absl::OkStatus();
      }));
      fclose(out);
    });
  };
  expand("/old.expanded", pair.old_map, read_old);
  expand("/new.expanded", pair.new_map, read_new);

  Measure("check", [&](const auto&) {
    const std::string codecs = Value(DescribeCodecs(pair.new_map));
    std::string_view rest = codecs;
    Require(CheckCodecs(pair.new_map, rest));
  });
  Measure("rebuild", [&](const auto& sample) {
    const auto old_image =
        Value(ExpandedReader::Create(pair.old_map, read_old));
    crypto::Sha256 digest;
    RebuilderOptions options;
    options.old_image = old_image.get();
    options.write = [&](std::string_view bytes) {
      sample();
      digest.Update(bytes);
      return absl::OkStatus();
    };
    const auto rebuilder = Value(Rebuilder::Create(pair.new_map, options));
    const auto expanded = Value(MappedFile::Open(folder + "/new.expanded"));
    for (std::string_view left = expanded->bytes(); !left.empty();) {
      const std::string_view piece = left.substr(0, 256u << 10);
      Require(rebuilder->Write(piece));
      left.remove_prefix(piece.size());
    }
    Require(rebuilder->Finish());
    if (digest.Finish() != crypto::Sha256Digest(new_file->bytes())) {
      fprintf(stderr, "the rebuilt image differs\n");
      exit(1);
    }
  });
  if (argc != 5) {
    unlink((folder + "/old.expanded").c_str());
    unlink((folder + "/new.expanded").c_str());
    rmdir(folder.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace shoal::delta

int main(int argc, char** argv) { return shoal::delta::Main(argc, argv); }
