// shoal-patch: applies one delta in a sandbox. Its parent opens the patch, the
// old and the new slot and passes them as descriptors 3, 4 and 5; this program
// can open nothing itself. Answers are lines of JSON on standard output:
//   {"progress":BYTES} or {"progress":BYTES,"state":"HEX"}
//   {"ok":true,"bytes":N,"sha256":"HEX"}                      exit code 0
//   {"ok":false,"reason":"wrong_base","message":"…"}          exit code 1
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "agent/patch/heartbeat.h"
#include "agent/patch/sandbox.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/apply/bsdiff40.h"
#include "delta/format/format.h"
#include "delta/image/image_map.h"

namespace shoal::agent {
namespace {

// A state to resume from costs a sync of the new slot.
constexpr uint64_t kStateStep = 8u << 20;

void WriteLine(std::string line) {
  line.push_back('\n');
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) _exit(2);  // nobody hears the answer
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out.append({'\\', c});
    else if (static_cast<unsigned char>(c) < 0x20 ||
             static_cast<unsigned char>(c) > 0x7e)
      out += '?';
    else
      out += c;
  }
  return out + '"';
}

// _exit: destructors and atexit handlers have no business in the sandbox.
[[noreturn]] void FailAndExit(const absl::Status& status) {
  const std::string message(status.message().data(), status.message().size());
  WriteLine(fmt::format("{{\"ok\":false,\"reason\":{},\"message\":{}}}",
                        JsonString(ReasonOf(status)), JsonString(message)));
  _exit(1);
}

absl::Status ReadExactly(int fd, uint64_t at, char* buffer, size_t size,
                         std::string_view what) {
  while (size > 0) {
    const ssize_t n = pread(fd, buffer, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, fmt::format("read the {}", what));
    if (n == 0)
      return DataLoss("io_error",
                      fmt::format("the {} ends at byte {}", what, at));
    buffer += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status WriteExactly(uint64_t at, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n =
        pwrite(kNewSlotFd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write the new slot");
    at += static_cast<uint64_t>(n);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

struct Slots {
  uint64_t patch_size = 0;
  bool is_bsdiff = false;  // the patch is of the classic format
  uint64_t old_size = 0;
  bool new_is_file = false;
};

// What must be known about the descriptors; inside, fstat is forbidden.
absl::StatusOr<Slots> LookAtDescriptors(std::optional<uint64_t> old_size) {
  Slots slots;
  struct stat patch, base, fresh;
  if (fstat(kPatchFd, &patch) != 0)
    return ErrnoError(errno, "descriptor 3, the patch");
  if (fstat(kOldSlotFd, &base) != 0)
    return ErrnoError(errno, "descriptor 4, the old slot");
  if (fstat(kNewSlotFd, &fresh) != 0)
    return ErrnoError(errno, "descriptor 5, the new slot");
  const bool same_device = S_ISBLK(base.st_mode) && S_ISBLK(fresh.st_mode) &&
                           base.st_rdev == fresh.st_rdev;
  if (same_device ||
      (base.st_dev == fresh.st_dev && base.st_ino == fresh.st_ino))
    return InvalidArgument("bad_argument", "old and new slot are the same");
  const off_t end = lseek(kOldSlotFd, 0, SEEK_END);
  if (end < 0) return ErrnoError(errno, "size of the old slot");
  slots.old_size = static_cast<uint64_t>(end);
  if (old_size) {
    if (*old_size > slots.old_size)
      return FailedPrecondition(
          "wrong_base", fmt::format("the old slot holds {} bytes, not {}",
                                    slots.old_size, *old_size));
    slots.old_size = *old_size;
  }
  slots.new_is_file = S_ISREG(fresh.st_mode);
  // Its first bytes only choose the reader; a pipe can hold no BSDIFF40.
  char magic[8];
  slots.patch_size = static_cast<uint64_t>(std::max<off_t>(0, patch.st_size));
  slots.is_bsdiff = S_ISREG(patch.st_mode) &&
                    pread(kPatchFd, magic, sizeof magic, 0) == sizeof magic &&
                    delta::IsBsdiff40({magic, sizeof magic});
  return slots;
}

struct Arguments {
  uint64_t expected_size = 0;
  std::string expected_sha256;
  std::optional<uint64_t> old_size;
  uint64_t max_memory = delta::kDefaultMaxMemory;
  std::string resume;
};

// An older, longer image must not show behind the new one.
absl::Status FinishNewSlot(const Arguments& arguments, const Slots& slots) {
  if (slots.new_is_file &&
      ftruncate(kNewSlotFd, static_cast<off_t>(arguments.expected_size)) != 0)
    return ErrnoError(errno, "cut the new slot to its length");
  if (fsync(kNewSlotFd) != 0) return ErrnoError(errno, "sync the new slot");
  return absl::OkStatus();
}

void SayProgress(uint64_t written) {
  WriteLine(fmt::format("{{\"progress\":{}}}", written));
}

// What every delta does with the descriptors, each step with a heartbeat.
class SlotFiles {
 public:
  absl::Status ReadPatch(uint64_t at, char* buffer, size_t size) {
    heart_.Beat();
    return ReadExactly(kPatchFd, at, buffer, size, "patch");
  }
  absl::StatusOr<size_t> ReadPatchOn(char* buffer, size_t size) {
    heart_.Beat();
    for (;;) {
      const ssize_t n = read(kPatchFd, buffer, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read the patch");
      return static_cast<size_t>(n);
    }
  }
  absl::Status ReadOld(uint64_t at, char* buffer, size_t size) {
    heart_.Beat();
    return ReadExactly(kOldSlotFd, at, buffer, size, "old slot");
  }
  absl::Status ReadNew(uint64_t at, char* buffer, size_t size) {
    heart_.Beat();
    return ReadExactly(kNewSlotFd, at, buffer, size, "new slot");
  }
  absl::Status Append(std::string_view bytes) {
    SHOAL_RETURN_IF_ERROR(WriteExactly(written_, bytes));
    written_ += bytes.size();
    heart_.Written(written_);
    return absl::OkStatus();
  }
  // Before any heartbeat: until then nobody knows how far the work is.
  void GoOnAt(uint64_t written) {
    written_ = written;
    heart_.Begin(written);
  }

 private:
  Heartbeat heart_{SystemClock(), SayProgress};
  uint64_t written_ = 0;
};

absl::Status ApplyBsdiffInSandbox(const Arguments& arguments,
                                  const Slots& slots,
                                  std::string expected_sha256) {
  SlotFiles files;
  files.GoOnAt(0);
  delta::Bsdiff40Options options;
  options.read_patch = [&](uint64_t at, char* buffer, size_t size) {
    return files.ReadPatch(at, buffer, size);
  };
  options.patch_size = slots.patch_size;
  options.read_old = [&](uint64_t at, char* buffer, size_t size) {
    return files.ReadOld(at, buffer, size);
  };
  options.old_size = slots.old_size;
  options.write_new = [&](std::string_view bytes) {
    return files.Append(bytes);
  };
  options.expected_size = arguments.expected_size;
  options.expected_sha256 = std::move(expected_sha256);
  options.max_memory = arguments.max_memory;
  SHOAL_RETURN_IF_ERROR(delta::ApplyBsdiff40(options));
  return FinishNewSlot(arguments, slots);
}

absl::Status ApplyInSandbox(const Arguments& arguments, const Slots& slots,
                            std::string expected_sha256,
                            std::string resume_state) {
  if (slots.is_bsdiff) {
    if (!resume_state.empty())
      return FailedPrecondition("bad_resume",
                                "a BSDIFF40 patch cannot be resumed");
    return ApplyBsdiffInSandbox(arguments, slots, std::move(expected_sha256));
  }
  SlotFiles files;
  delta::ApplyOptions options;
  options.read_patch = [&](char* buffer, size_t size) {
    return files.ReadPatchOn(buffer, size);
  };
  options.read_old = [&](uint64_t at, char* buffer, size_t size) {
    return files.ReadOld(at, buffer, size);
  };
  options.read_new = [&](uint64_t at, char* buffer, size_t size) {
    return files.ReadNew(at, buffer, size);
  };
  options.write_new = [&](std::string_view bytes) {
    return files.Append(bytes);
  };
  uint64_t next_state = 0;
  absl::Duration next_state_time = absl::ZeroDuration();
  options.checkpoint = [&](uint64_t bytes,
                           const std::string& state) -> absl::Status {
    const absl::Duration now = SystemClock().MonotonicNow();
    if (bytes < next_state || now < next_state_time) return absl::OkStatus();
    next_state = bytes + kStateStep;
    next_state_time = now + Heartbeat::kInterval;
    if (fdatasync(kNewSlotFd) != 0)
      return ErrnoError(errno, "sync the new slot");
    WriteLine(fmt::format("{{\"progress\":{},\"state\":\"{}\"}}", bytes,
                          HexEncode(state)));
    return absl::OkStatus();
  };
  options.old_size = slots.old_size;
  options.expected_size = arguments.expected_size;
  options.expected_sha256 = std::move(expected_sha256);
  options.max_memory = arguments.max_memory;
  options.resume_state = std::move(resume_state);
  SHOAL_ASSIGN_OR_RETURN(auto applier,
                         delta::Applier::Create(std::move(options)));
  files.GoOnAt(applier->resume_offset());
  next_state = applier->resume_offset() + kStateStep;
  SHOAL_RETURN_IF_ERROR(applier->Run());
  return FinishNewSlot(arguments, slots);
}

// One line of JSON, for AskPatchTools().
[[noreturn]] void TellToolsAndExit() {
  std::string codecs;
  for (const std::string& codec : delta::CodecLibraries())
    codecs += (codecs.empty() ? "" : ",") + JsonString(codec);
  WriteLine(fmt::format("{{\"model\":{},\"codecs\":[{}]}}",
                        delta::kModelVersion, codecs));
  _exit(0);
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Applies a delta: patch on descriptor 3, old slot on 4, new slot on 5, "
      "in a sandbox. Started by shoal-agent."};
  app.footer(
      "Example:\n  shoal-patch --expect-size 33554432 --expect-sha256 9f86… "
      "\\\n"
      "    3<update.sdelta 4<slot-a 5<>slot-b");
  Arguments arguments;
  app.add_option("--expect-size", arguments.expected_size,
                 "Bytes of the result, from signed metadata")
      ->required();
  app.add_option("--expect-sha256", arguments.expected_sha256,
                 "SHA-256 of the result, from signed metadata, hex")
      ->required();
  app.add_option("--old-size", arguments.old_size,
                 "Bytes of the image in the old slot (block devices)");
  app.add_option("--max-memory", arguments.max_memory, "Bytes, at most")
      ->capture_default_str();
  app.add_option("--resume", arguments.resume,
                 "A state of an earlier run, hex: go on there");
  app.add_flag_callback(
      "--tools", TellToolsAndExit,
      "Say which model and codec libraries it has, and nothing else");
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  auto expected = HexDecode(arguments.expected_sha256);
  if (!expected.ok() || expected->size() != crypto::kSha256Size)
    FailAndExit(
        InvalidArgument("bad_argument", "--expect-sha256 is 64 hex digits"));
  auto resume = HexDecode(arguments.resume);
  if (!resume.ok())
    FailAndExit(InvalidArgument("bad_argument", "--resume is not hex"));
  if (arguments.expected_size > delta::kMaxImageSize)
    FailAndExit(InvalidArgument("bad_argument", "--expect-size is too large"));
  auto slots = LookAtDescriptors(arguments.old_size);
  if (!slots.ok()) FailAndExit(slots.status());
  // The library behind it reads its configuration at first use; inside it
  // could not.
  crypto::Sha256Digest("");
  SystemClock().MonotonicNow();
  const absl::Status sandbox = EnterSandbox({arguments.max_memory});
  if (!sandbox.ok()) FailAndExit(sandbox);

  const std::string sha256 = HexEncode(*expected);
  const absl::Status status = ApplyInSandbox(
      arguments, *slots, *std::move(expected), *std::move(resume));
  if (!status.ok()) FailAndExit(status);
  WriteLine(fmt::format("{{\"ok\":true,\"bytes\":{},\"sha256\":\"{}\"}}",
                        arguments.expected_size, sha256));
  _exit(0);
}

}  // namespace
}  // namespace shoal::agent

int main(int argc, char** argv) { return shoal::agent::Main(argc, argv); }
