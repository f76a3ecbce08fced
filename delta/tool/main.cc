// shoal-delta: makes, applies and shows deltas by hand. It trusts its input's
// header for the expected result; devices do not (shoal-patch).
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/bytes.h"
#include "common/command_line.h"
#include "common/files.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/make/make.h"

namespace shoal::delta {
namespace {

void ShowProgress(uint64_t done, uint64_t total) {
  if (!isatty(2)) return;
  fmt::print(stderr, "\r{:3} % of {}{}", total == 0 ? 100 : done * 100 / total,
             HumanBytes(total), done >= total ? "\n" : "");
}

absl::Status PreadExactly(int fd, uint64_t at, char* buffer, size_t size) {
  while (size > 0) {
    const ssize_t n = pread(fd, buffer, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read");
    if (n == 0) return DataLoss("io_error", "a file became shorter");
    buffer += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> Open(const std::string& path, int flags) {
  FileDescriptor fd(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  return fd;
}

absl::StatusOr<Header> ReadHeader(int fd) {
  char bytes[kHeaderSize];
  const ssize_t n = pread(fd, bytes, sizeof bytes, 0);
  if (n < 0) return ErrnoError(errno, "read the patch");
  return ParseHeader({bytes, static_cast<size_t>(n)});
}

absl::Status Make(const MakeOptions& base, const std::string& old_path,
                  const std::string& new_path, const std::string& patch_path) {
  MakeOptions options = base;
  options.progress = ShowProgress;
  SHOAL_ASSIGN_OR_RETURN(const MakeStats stats,
                         MakeDelta(options, old_path, new_path, patch_path));
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

absl::Status Apply(const std::string& old_path, const std::string& patch_path,
                   const std::string& new_path, uint64_t max_memory) {
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor patch,
                         Open(patch_path, O_RDONLY));
  SHOAL_ASSIGN_OR_RETURN(const Header header, ReadHeader(patch.get()));
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor base, Open(old_path, O_RDONLY));
  const off_t old_size = lseek(base.get(), 0, SEEK_END);
  if (old_size < 0) return ErrnoError(errno, "size of " + old_path);
  // Exclusive: the base must not be the result, nor a good file be lost.
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor out,
                         Open(new_path, O_WRONLY | O_CREAT | O_EXCL));
  ApplyOptions options;
  options.read_patch = [&](char* buffer,
                           size_t size) -> absl::StatusOr<size_t> {
    for (;;) {
      const ssize_t n = read(patch.get(), buffer, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read the patch");
      return static_cast<size_t>(n);
    }
  };
  options.read_old = [&](uint64_t at, char* buffer, size_t size) {
    return PreadExactly(base.get(), at, buffer, size);
  };
  options.write_new = [&](std::string_view bytes) -> absl::Status {
    while (!bytes.empty()) {
      const ssize_t n = write(out.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "write " + new_path);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  };
  options.progress = [&](uint64_t written) {
    ShowProgress(written, header.new_size);
    return absl::OkStatus();
  };
  options.old_size = static_cast<uint64_t>(old_size);
  options.expected_size = header.new_size;
  options.expected_sha256 = header.new_sha256;
  options.max_memory = max_memory;
  const auto run = [&]() -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(auto applier, Applier::Create(std::move(options)));
    SHOAL_RETURN_IF_ERROR(applier->Run());
    if (fsync(out.get()) != 0) return ErrnoError(errno, "sync " + new_path);
    return absl::OkStatus();
  };
  const absl::Status status = run();
  if (!status.ok()) {
    unlink(new_path.c_str());
    return status;
  }
  fmt::print("{} bytes, sha256 {}\n", header.new_size,
             HexEncode(header.new_sha256));
  return absl::OkStatus();
}

absl::Status Info(const std::string& patch_path) {
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor patch,
                         Open(patch_path, O_RDONLY));
  SHOAL_ASSIGN_OR_RETURN(const Header header, ReadHeader(patch.get()));
  fmt::print(
      "format SDELTA {}, codec {}\nbase   {} bytes, sha256 {}\nresult {} "
      "bytes, "
      "sha256 {}\nwindow {} bytes, reader memory {} bytes\n",
      kVersion, static_cast<int>(header.codec), header.old_size,
      HexEncode(header.old_sha256), header.new_size,
      HexEncode(header.new_sha256), header.window_size, header.reader_memory);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Deltas between two images, in the format of docs/delta-format.md"};
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  shoal-delta make gateway-1.0.img gateway-1.1.img 1.0-to-1.1.sdelta\n"
      "  shoal-delta apply gateway-1.0.img 1.0-to-1.1.sdelta result.img\n"
      "  shoal-delta info 1.0-to-1.1.sdelta");
  std::string old_path, new_path, patch_path;
  MakeOptions make_options;
  uint64_t max_memory = kDefaultMaxMemory;

  CLI::App* make = app.add_subcommand("make", "Make the delta from OLD to NEW");
  make->add_option("OLD", old_path, "The image that devices run")->required();
  make->add_option("NEW", new_path, "The image that they shall run")
      ->required();
  make->add_option("PATCH", patch_path, "The delta to write")->required();
  make->add_option("--threads", make_options.threads, "1 to 64")
      ->capture_default_str();
  make->add_option("--window", make_options.window_size,
                   "Bytes of a window; a device needs twice that and 768 KiB")
      ->capture_default_str();
  make->add_option("--segment", make_options.segment_size,
                   "Bytes that are matched at a time; memory grows with it")
      ->capture_default_str();
  make->add_option("--level", make_options.zstd_level, "zstd level, 1 to 22")
      ->capture_default_str();

  CLI::App* apply = app.add_subcommand("apply", "Make NEW from OLD and PATCH");
  apply->add_option("OLD", old_path, "The base")->required();
  apply->add_option("PATCH", patch_path, "The delta")->required();
  apply->add_option("NEW", new_path, "The result; must not exist")->required();
  apply->add_option("--max-memory", max_memory, "Bytes")->capture_default_str();

  CLI::App* info = app.add_subcommand("info", "Show what a delta is for");
  info->add_option("PATCH", patch_path, "The delta")->required();
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  absl::Status status;
  if (*make)
    status = Make(make_options, old_path, new_path, patch_path);
  else if (*apply)
    status = Apply(old_path, patch_path, new_path, max_memory);
  else
    status = Info(patch_path);
  if (status.ok()) return 0;
  fmt::print(stderr, "shoal-delta: {}: {}\n", ReasonOf(status),
             std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace shoal::delta

int main(int argc, char** argv) { return shoal::delta::Main(argc, argv); }
