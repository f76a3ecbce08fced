#include "signing/verify/log_keeper.h"

#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/log/leaf.h"
#include "signing/verify/log_prover.h"

namespace shoal::signing {
namespace {

constexpr uint64_t kMaxMemoryBytes = 256 * 1024;
constexpr int kRestartsKept = 8;

std::string SnapshotLeafHash(const MetaFile& pin) {
  LogLeaf leaf;
  leaf.number = pin.version;
  leaf.sha256 = pin.sha256.value_or("");
  leaf.name = "snapshot";
  const auto bytes = EncodeLogLeaf(leaf);
  return bytes.ok() ? LogLeafHash(*bytes) : std::string();
}

void Set(log::v1::LogPoint* point, const LogHead& head) {
  point->set_size(head.size);
  point->set_root(head.root);
}

std::string Short(const std::string& root) {
  return HexEncode(root).substr(0, 16);
}

// Why these two can't both be true, by their heads alone; "" otherwise. The
// plane signs timestamps one after the other over a log that only grows, so
// that version and size rise together.
std::string Contradiction(const Timestamp& one, const Timestamp& other) {
  if (!one.log || !other.log) return "";
  const LogHead& ours = *one.log;
  const LogHead& theirs = *other.log;
  if (ours.size == theirs.size) {
    if (ours.root == theirs.root) return "";
    return fmt::format("two logs of {} entries are signed, {}… and {}…",
                       ours.size, Short(ours.root), Short(theirs.root));
  }
  if (one.version == other.version)
    return fmt::format("timestamp {} is signed over {} and over {} entries",
                       one.version, ours.size, theirs.size);
  if ((one.version < other.version) != (ours.size < theirs.size))
    return fmt::format(
        "timestamp {} is signed over {} entries, timestamp {} over {}",
        one.version, ours.size, other.version, theirs.size);
  return "";
}

}  // namespace

void LogKeeper::Load() {
  const std::string path = JoinPath(directory_, "log");
  if (!fs_.Exists(path)) return;
  const auto bytes = fs_.Read(path, kMaxMemoryBytes);
  log::v1::LogMemory memory;
  if (bytes.ok() && memory.ParseFromString(*bytes))
    memory_ = std::move(memory);
  else
    LogWarn("log_memory_dropped", {{"path", path}});
}

absl::Status LogKeeper::Save(const log::v1::LogMemory& next) {
  SHOAL_RETURN_IF_ERROR(
      fs_.WriteAtomic(JoinPath(directory_, "log"), next.SerializeAsString()));
  memory_ = next;
  return absl::OkStatus();
}

LogHead LogKeeper::Head() const {
  return {memory_.head().size(), memory_.head().root(), 0};
}

absl::Status LogKeeper::ForkStatus() const {
  return FailedPrecondition(
      "log_fork",
      "the fleet's release log was forked: " + memory_.fork().explanation() +
          "; nothing new is taken until root replaces the timestamp's key");
}

absl::Status LogKeeper::Fork(std::string_view ours, std::string_view theirs,
                             std::string explanation, absl::Time now) {
  if (memory_.has_fork()) return ForkStatus();
  log::v1::LogMemory next = memory_;
  log::v1::LogFork* fork = next.mutable_fork();
  fork->set_seen_at(absl::ToUnixMillis(now));
  fork->set_ours(std::string(ours));
  fork->set_theirs(std::string(theirs));
  fork->set_explanation(std::move(explanation));
  LogError("log_fork", {{"explanation", fork->explanation()},
                        {"evidence", JoinPath(directory_, "log_fork.jsonl")}});
  // In force even when the disk refuses; the next look finds it again.
  memory_ = next;
  SHOAL_RETURN_IF_ERROR(
      fs_.WriteAtomic(JoinPath(directory_, "log_fork.jsonl"),
                      fork->ours() + "\n" + fork->theirs() + "\n"));
  SHOAL_RETURN_IF_ERROR(Save(next));
  return ForkStatus();
}

std::string LogKeeper::ContradictsOurs(const Timestamp& other) const {
  if (Head().size == 0) return "";
  const auto ours = ParseTimestamp(memory_.timestamp());
  return ours.ok() ? Contradiction(ours->value, other) : "";
}

absl::Status LogKeeper::Confront(const Timestamp& other, std::string_view bytes,
                                 absl::Time now) {
  if (memory_.has_fork()) return ForkStatus();
  std::string contradiction = ContradictsOurs(other);
  if (contradiction.empty()) return absl::OkStatus();
  return Fork(memory_.timestamp(), bytes, std::move(contradiction), now);
}

absl::Status LogKeeper::TakeProof(const Timestamp& one,
                                  std::string_view one_bytes,
                                  const Timestamp& other,
                                  std::string_view other_bytes,
                                  absl::Time now) {
  std::string why = Contradiction(one, other);
  if (why.empty())
    return InvalidArgument("no_fork", "both of these timestamps can be true");
  const absl::Status fork = Fork(one_bytes, other_bytes, std::move(why), now);
  return ReasonOf(fork) == "log_fork" ? absl::OkStatus() : fork;
}

absl::StatusOr<LogVerdict> LogKeeper::Compare(const Timestamp& other,
                                              std::string_view bytes,
                                              Fetcher& source, absl::Time now) {
  if (!other.log || memory_.head().size() == 0)
    return FailedPrecondition("no_log", "there is no log to compare with");
  if (memory_.has_fork()) return LogVerdict::kFork;
  const LogHead ours = Head();
  const LogHead& theirs = *other.log;
  std::string why = ContradictsOurs(other);
  if (why.empty() && ours.size != theirs.size) {
    const bool behind = theirs.size < ours.size;
    const LogHead& longer = behind ? ours : theirs;
    const LogHead& shorter = behind ? theirs : ours;
    SHOAL_ASSIGN_OR_RETURN(const std::string root,
                           LogProver(longer, source).RootAt(shorter.size));
    if (root != shorter.root)
      why = fmt::format(
          "the log of {} entries, {}…, is not the beginning of "
          "the one of {}, {}…",
          shorter.size, Short(shorter.root), longer.size, Short(longer.root));
  }
  if (why.empty()) return LogVerdict::kAgrees;
  const absl::Status fork =
      Fork(memory_.timestamp(), bytes, std::move(why), now);
  if (ReasonOf(fork) != "log_fork") return fork;
  return LogVerdict::kFork;
}

absl::Status LogKeeper::Admit(const Timestamp& timestamp,
                              std::string_view bytes, uint64_t root_version,
                              Fetcher& source, absl::Time now) {
  if (memory_.has_fork()) return ForkStatus();
  const LogHead ours = Head();
  if (!timestamp.log) {
    if (ours.size == 0) return absl::OkStatus();
    return FailedPrecondition(
        "log_missing",
        fmt::format("timestamp {} names no release log, and there was one of "
                    "{} entries",
                    timestamp.version, ours.size));
  }
  const LogHead& head = *timestamp.log;
  SHOAL_RETURN_IF_ERROR(Confront(timestamp, bytes, now));
  LogProver prover(head, source);
  if (ours.size != 0 && ours.size != head.size) {
    SHOAL_ASSIGN_OR_RETURN(const std::string root, prover.RootAt(ours.size));
    if (root != ours.root)
      return Fork(
          memory_.timestamp(), bytes,
          fmt::format("the log of {} entries, {}…, does not begin with "
                      "the {} entries known here, {}…",
                      head.size, Short(head.root), ours.size, Short(ours.root)),
          now);
  }
  SHOAL_RETURN_IF_ERROR(
      prover.ProveSnapshot(SnapshotLeafHash(timestamp.snapshot)));

  log::v1::LogMemory next = memory_;
  Set(next.mutable_head(), head);
  next.set_timestamp(std::string(bytes));
  next.set_root_version(root_version);
  if (next.has_before()) {
    const log::v1::LogPoint& before = next.before();
    const auto root = before.size() <= head.size
                          ? prover.RootAt(before.size())
                          : absl::StatusOr<std::string>(std::string());
    const bool goes_on = root.ok() && *root == before.root();
    if (!goes_on || next.before_forked()) {
      log::v1::LogRestart* note = next.add_restarts();
      note->set_seen_at(absl::ToUnixMillis(now));
      *note->mutable_before() = before;
      Set(note->mutable_after(), head);
      note->set_root_version(root_version);
      note->set_forked(next.before_forked());
      while (next.restarts_size() > kRestartsKept)
        next.mutable_restarts()->DeleteSubrange(0, 1);
      LogWarn("log_restarted", {{"entries_before", before.size()},
                                {"entries", head.size},
                                {"root_version", root_version},
                                {"goes_on", goes_on},
                                {"forked", next.before_forked()}});
    }
    next.clear_before();
    next.clear_before_forked();
  }
  if (next.SerializeAsString() == memory_.SerializeAsString())
    return absl::OkStatus();
  return Save(next);
}

absl::Status LogKeeper::KeyReplaced(uint64_t root_version) {
  if (root_version <= memory_.root_version()) return absl::OkStatus();
  log::v1::LogMemory next = memory_;
  next.set_root_version(root_version);
  if (memory_.head().size() > 0) {
    *next.mutable_before() = memory_.head();
    next.set_before_forked(memory_.has_fork());
  }
  next.clear_head();
  next.clear_timestamp();
  next.clear_fork();
  return Save(next);
}

}  // namespace shoal::signing
