#include "server/cli/exit_code.h"

#include <string_view>

#include "common/status.h"

namespace shoal::cli {
namespace {

struct Hint {
  std::string_view reason;
  std::string_view text;
};

constexpr Hint kHints[] = {
    {"no_context",
     "make one: shoal context add NAME --server HOST:PORT --server-cert FILE "
     "--operator DIR"},
    {"unknown_context", "see: shoal context list"},
    {"not_an_operator",
     "the policy does not list this operator's TLS key; a policy officer signs "
     "a new policy with its operator.json, then: shoal trust publish REPO"},
    {"wrong_fleet",
     "the context belongs to another fleet; add a context of its own"},
    {"stale_etag", "it changed meanwhile: look again and repeat"},
    {"etag_mismatch", "it changed meanwhile: look again and repeat"},
    {"key_file_permissions", "make it readable by its owner only: chmod 600"},
    {"no_nodes",
     "enrol storage nodes first (shoal node enroll), then: shoal context "
     "refresh"},
    {"network_unreachable",
     "no storage node answered; check the addresses of: shoal node list"},
    {"no_device_report",
     "the device has not reported yet, or never was in this fleet; see: shoal "
     "device list"},
    {"no_answer",
     "the device did not answer in time; it may be offline, or look up its "
     "commands seldom (a link of class thrifty): try a longer --timeout"},
};

bool IsLocal(std::string_view reason) {
  return reason.starts_with("io_") || reason == "disk_full" ||
         reason == "file_too_large";
}

// Verification failed here: nobody denied anything to the caller.
bool IsVerification(std::string_view reason) {
  return reason == "bad_signature" || reason == "wrong_fleet" ||
         reason == "wrong_writer" || reason == "unknown_writer" ||
         reason == "wrong_place" || reason == "wrong_passphrase";
}

}  // namespace

absl::Status UsageError(std::string_view message) {
  return InvalidArgument("usage", message);
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const std::string reason = ReasonOf(status);
  if (reason == "usage") return kExitUsage;
  if (IsLocal(reason) || IsVerification(reason)) return kExitFailed;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitDenied;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    default:
      return kExitFailed;
  }
}

std::string HintFor(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  for (const Hint& hint : kHints) {
    if (hint.reason == reason) return std::string(hint.text);
  }
  switch (ExitCodeOf(status)) {
    case kExitUsage:
      return "add --help for what this command takes, with examples";
    case kExitUnreachable:
      return "check that shoald runs and that the context names its address "
             "(shoal context show); rollout halt, command run and node status "
             "work without it";
    case kExitDenied:
      return "the access policy does not grant this; see: shoal policy show, "
             "shoal policy test";
    default:
      return "";
  }
}

std::string FormatError(const absl::Status& status) {
  const absl::string_view message = status.message();
  std::string text = "shoal: ";
  text.append(message.data(), message.size());
  const std::string reason = ReasonOf(status);
  if (reason != "unspecified" && reason != "usage") text += " (" + reason + ")";
  text += "\n";
  const std::string hint = HintFor(status);
  if (!hint.empty()) text += "  " + hint + "\n";
  return text;
}

}  // namespace shoal::cli
