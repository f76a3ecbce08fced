#include "agent/patch/patch_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::agent {
namespace {

// The child parsed hostile bytes: what it says is untrusted too.
constexpr size_t kMaxLine = 4096;
constexpr absl::Duration kPollInterval = absl::Milliseconds(200);

absl::Status Crashed(std::string_view what) {
  return Internal("patch_crashed", what);
}

absl::StatusOr<FileDescriptor> Open(const std::string& path, int flags) {
  FileDescriptor fd(open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  return fd;
}

absl::StatusCode CodeOf(std::string_view reason) {
  if (reason == "wrong_base" || reason == "bad_resume" ||
      reason == "codec_differs")
    return absl::StatusCode::kFailedPrecondition;
  if (reason == "delta_too_large") return absl::StatusCode::kOutOfRange;
  if (reason == "delta_memory" || reason == "disk_full")
    return absl::StatusCode::kResourceExhausted;
  if (reason == "unsupported_delta") return absl::StatusCode::kUnimplemented;
  if (reason == "bad_argument") return absl::StatusCode::kInvalidArgument;
  if (reason == "sandbox_failed") return absl::StatusCode::kInternal;
  return absl::StatusCode::kDataLoss;
}

// The child's answers, one line at a time.
class Answers {
 public:
  Answers(const PatchJob& job, const PatchProgress& progress)
      : job_(job), progress_(progress) {}

  absl::Status Add(std::string_view bytes) {
    buffer_.append(bytes);
    for (size_t end; (end = buffer_.find('\n')) != std::string::npos;) {
      SHOAL_RETURN_IF_ERROR(Line(std::string_view(buffer_).substr(0, end)));
      buffer_.erase(0, end + 1);
    }
    if (buffer_.size() > kMaxLine) return Crashed("shoal-patch babbles");
    return absl::OkStatus();
  }
  // The final answer, if there was one; a later line does not replace it.
  const std::optional<absl::Status>& result() const { return result_; }

 private:
  absl::Status Line(std::string_view line) {
    if (line.size() > kMaxLine) return Crashed("shoal-patch babbles");
    if (result_) return Crashed("shoal-patch answers twice");
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return Crashed("shoal-patch's answer is no JSON");
    const auto text = [&](const char* key) {
      const auto it = json.find(key);
      return it != json.end() && it->is_string() ? it->get<std::string>()
                                                 : std::string();
    };
    const auto number = [&](const char* key) -> std::optional<uint64_t> {
      const auto it = json.find(key);
      if (it == json.end() || !it->is_number_unsigned()) return std::nullopt;
      return it->get<uint64_t>();
    };
    if (const auto written = number("progress")) {
      const auto state = HexDecode(text("state"));
      if (!state.ok() || *written > job_.expected_size)
        return Crashed("shoal-patch reports impossible progress");
      if (progress_) progress_(*written, *state);
      return absl::OkStatus();
    }
    const auto ok = json.find("ok");
    if (ok == json.end() || !ok->is_boolean())
      return Crashed("shoal-patch's answer has no result");
    if (!ok->get<bool>()) {
      const std::string reason = text("reason");
      if (!IsIdentifier(reason)) return Crashed("shoal-patch gives no reason");
      result_ = MakeError(CodeOf(reason), reason,
                          fmt::format("shoal-patch: {}", text("message")));
      return absl::OkStatus();
    }
    if (number("bytes") != job_.expected_size ||
        text("sha256") != HexEncode(job_.expected_sha256))
      return Crashed("shoal-patch made something else than it was told");
    result_ = absl::OkStatus();
    return absl::OkStatus();
  }

  const PatchJob& job_;
  const PatchProgress& progress_;
  std::string buffer_;
  std::optional<absl::Status> result_;
};

std::string PathOf(const std::string& program) {
  return program.empty() ? JoinPath(ProgramDirectory(), "shoal-patch")
                         : program;
}

SubprocessOptions CommandFor(const PatchJob& job) {
  SubprocessOptions options;
  options.arguments = {PathOf(job.program),
                       "--expect-size",
                       std::to_string(job.expected_size),
                       "--expect-sha256",
                       HexEncode(job.expected_sha256),
                       "--max-memory",
                       std::to_string(job.max_memory)};
  if (job.old_size) {
    options.arguments.push_back("--old-size");
    options.arguments.push_back(std::to_string(*job.old_size));
  }
  if (!job.resume_state.empty()) {
    options.arguments.push_back("--resume");
    options.arguments.push_back(HexEncode(job.resume_state));
  }
  options.environment.emplace();
  return options;
}

// Reads answers until the child closes its standard output.
absl::Status Listen(const PatchJob& job, int fd, Answers& answers) {
  absl::Duration deadline = SystemClock().MonotonicNow() + job.stall_timeout;
  for (;;) {
    if (job.cancel != nullptr && job.cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "applying the delta was cancelled");
    pollfd poll_fd{fd, POLLIN, 0};
    const int ready =
        poll(&poll_fd, 1,
             static_cast<int>(absl::ToInt64Milliseconds(kPollInterval)));
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    const absl::Duration now = SystemClock().MonotonicNow();
    if (ready <= 0) {
      if (now >= deadline)
        return MakeError(absl::StatusCode::kDeadlineExceeded, "patch_stalled",
                         fmt::format("shoal-patch made no progress in {}",
                                     absl::FormatDuration(job.stall_timeout)));
      continue;
    }
    char buffer[4096];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read shoal-patch's answer");
    if (n == 0) return absl::OkStatus();
    deadline = now + job.stall_timeout;
    SHOAL_RETURN_IF_ERROR(answers.Add({buffer, static_cast<size_t>(n)}));
  }
}

}  // namespace

absl::Status RunPatch(const PatchJob& job, const PatchProgress& progress) {
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor patch,
                         Open(job.patch_path, O_RDONLY));
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor base,
                         Open(job.old_path, O_RDONLY));
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor fresh,
                         Open(job.new_path, O_RDWR | O_CREAT));
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  const FileDescriptor reader(pipe_fds[0]);
  FileDescriptor writer(pipe_fds[1]);

  SubprocessOptions options = CommandFor(job);
  options.descriptors = {
      {patch.get(), 3}, {base.get(), 4}, {fresh.get(), 5}, {writer.get(), 1}};
  SHOAL_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Start(options));
  writer.Reset(-1);
  Answers answers(job, progress);
  const absl::Status heard = Listen(job, reader.get(), answers);
  if (!heard.ok()) {
    child.Signal(SIGKILL);
    SHOAL_RETURN_IF_ERROR(child.Wait());
    return heard;
  }
  auto ended = child.Wait(job.stall_timeout);
  if (!ended.ok()) {
    child.Signal(SIGKILL);
    SHOAL_RETURN_IF_ERROR(child.Wait());
    return ended.status();
  }
  const std::optional<absl::Status>& result = answers.result();
  // Answer and exit code must agree: 0 with ok, 1 with a reason.
  if (!ended->exited || !result || (ended->code == 0) != result->ok() ||
      ended->code > 1)
    return Crashed(fmt::format("shoal-patch ended with {} {} an answer",
                               ended->ToString(),
                               result ? "after" : "without"));
  return *result;
}

absl::StatusOr<PatchTools> AskPatchTools(const std::string& program) {
  constexpr absl::Duration kTimeout = absl::Seconds(30);
  SubprocessOptions options;
  options.arguments = {PathOf(program), "--tools"};
  options.environment.emplace();
  SHOAL_ASSIGN_OR_RETURN(const CommandResult answer,
                         RunCommand(std::move(options), kTimeout, kMaxLine));
  const auto json = nlohmann::json::parse(answer.output, nullptr, false);
  if (!answer.status.ok() || !json.is_object())
    return Crashed("shoal-patch does not say what it can do");
  const auto model = json.find("model");
  const auto codecs = json.find("codecs");
  if (model == json.end() || !model->is_number_unsigned() ||
      codecs == json.end() || !codecs->is_array())
    return Crashed("shoal-patch's tools are not readable");
  PatchTools tools;
  tools.model = model->get<uint32_t>();
  for (const auto& codec : *codecs) {
    if (!codec.is_string())
      return Crashed("shoal-patch's tools are not readable");
    tools.codecs.push_back(codec.get<std::string>());
  }
  return tools;
}

}  // namespace shoal::agent
