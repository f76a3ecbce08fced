#include "server/cli/remote_command.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::cli {
namespace {

constexpr size_t kCommandIdSize = 16;
constexpr absl::Duration kLookUp = absl::Seconds(2);

// Results as they come from the network's thread.
class Inbox {
 public:
  void Add(const dht::VerifiedRecord& record) {
    std::lock_guard lock(mutex_);
    records_.push_back(record);
    changed_.notify_all();
  }
  // Everything that came; waits up to `timeout` for the first.
  std::vector<dht::VerifiedRecord> Take(absl::Duration timeout) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                      [&] { return !records_.empty(); });
    return std::exchange(records_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<dht::VerifiedRecord> records_;
};

// The X25519 key that the device itself signed.
absl::StatusOr<std::string> BoxKeyOf(RecordsSession& session,
                                     const std::string& device_id,
                                     absl::Duration timeout) {
  auto record = session.Newest(records::v1::RECORD_KIND_DEVICE_REPORT,
                               session.places().DeviceReport(device_id),
                               device_id, timeout);
  if (!record.ok()) {
    if (ReasonOf(record.status()) != "no_record") return record.status();
    return NotFound("no_device_report",
                    fmt::format("the network holds no report of device {}",
                                HexEncode(device_id)));
  }
  records::v1::DeviceReport report;
  if (!report.ParseFromString(record->body.payload()) ||
      report.box_key().size() != crypto::kBoxKeySize) {
    return DataLoss("bad_record", "the device's report names no key");
  }
  return report.box_key();
}

}  // namespace

records::v1::Command MakeCommand(const CommandSpec& spec,
                                 const std::string& operator_key,
                                 const std::string& reply_key, absl::Time now) {
  records::v1::Command command;
  command.set_id(crypto::RandomBytes(kCommandIdSize));
  command.set_device_id(spec.device_id);
  command.set_operator_key(operator_key);
  command.set_name(spec.name);
  for (const auto& argument : spec.arguments) command.add_arguments(argument);
  command.set_issued(absl::ToUnixMillis(now));
  command.set_expires(
      absl::ToUnixMillis(now + std::min(spec.timeout, kLongestCommand)));
  command.set_reply_key(reply_key);
  return command;
}

absl::StatusOr<records::v1::CommandResult> OpenResult(
    const dht::VerifiedRecord& record, const records::v1::Command& command,
    const crypto::BoxKey& reply_key) {
  if (record.body.kind() != records::v1::RECORD_KIND_COMMAND_RESULT ||
      record.writer.kind != records::v1::WRITER_CLASS_DEVICE ||
      record.writer.id != command.device_id()) {
    return PermissionDenied("wrong_result", "not written by that device");
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string plain,
                         reply_key.Open(record.body.payload()));
  records::v1::CommandResult result;
  if (!result.ParseFromString(plain)) {
    return InvalidArgument("bad_record", "the result does not parse");
  }
  if (result.command_id() != command.id() ||
      result.device_id() != command.device_id()) {
    return PermissionDenied("wrong_result", "the result of another command");
  }
  return result;
}

absl::Status StatusOfResult(const records::v1::CommandResult& result) {
  const std::string& reason = result.reason();
  const std::string message =
      "the device says: " +
      (result.message().empty() ? reason : result.message());
  if (reason == "ok" && result.exit_code() == 0) return absl::OkStatus();
  if (reason == "ok" || reason == "exit_nonzero") {
    return FailedPrecondition(
        "exit_nonzero",
        fmt::format("the command ended with exit code {}", result.exit_code()));
  }
  if (reason == "permission_denied") return PermissionDenied(reason, message);
  if (reason == "unknown_command") return NotFound(reason, message);
  return FailedPrecondition(reason.empty() ? "unspecified" : reason, message);
}

absl::StatusOr<records::v1::CommandResult> RunRemoteCommand(
    RecordsSession& session, const CommandSpec& spec, Clock& clock,
    const std::function<void(const dht::PutResult&)>& on_sent) {
  const absl::Duration end = clock.MonotonicNow() + spec.timeout;
  SHOAL_ASSIGN_OR_RETURN(const std::string box_key,
                         BoxKeyOf(session, spec.device_id,
                                  std::min(spec.timeout, absl::Seconds(10))));
  const crypto::BoxKey reply_key = crypto::BoxKey::Generate();
  const absl::Time now = clock.WallNow();
  const records::v1::Command command = MakeCommand(
      spec, session.operator_key().public_key(), reply_key.public_key(), now);
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_COMMAND;
  fields.place = session.places().Command(spec.device_id);
  fields.version = static_cast<uint64_t>(command.issued());
  fields.issued = now;
  // Whole seconds: not before the command itself expires.
  fields.expires = absl::FromUnixMillis(command.expires()) + absl::Seconds(1);
  SHOAL_ASSIGN_OR_RETURN(fields.payload,
                         crypto::SealTo(box_key, command.SerializeAsString()));
  if (fields.payload.size() > dht::kMaxPayloadSize) {
    return InvalidArgument("usage", "the arguments are beyond 16 KiB");
  }

  // Shared with callbacks that may still run while this function returns.
  const auto inbox = std::make_shared<Inbox>();
  const std::string place = session.places().CommandResult(command.id());
  const dht::ListenToken listening = session.network().Listen(
      place,
      [inbox](const dht::VerifiedRecord& record) { inbox->Add(record); });
  const auto put =
      session.PutSigned(fields, std::min(spec.timeout, absl::Seconds(30)));
  if (!put.ok()) {
    session.network().Cancel(listening);
    return put.status();
  }
  on_sent(*put);

  absl::Status refused;
  while (clock.MonotonicNow() < end) {
    std::vector<dht::VerifiedRecord> records =
        inbox->Take(std::min(kLookUp, end - clock.MonotonicNow()));
    if (records.empty()) {
      // A listen may be lost with the node that kept it.
      const auto found = session.network().GetBlocking(place, kLookUp);
      if (found.ok()) records = *found;
    }
    for (const auto& record : records) {
      auto result = OpenResult(record, command, reply_key);
      if (result.ok()) {
        session.network().Cancel(listening);
        return result;
      }
      refused = result.status();
    }
  }
  session.network().Cancel(listening);
  if (!refused.ok()) return refused;
  return MakeError(
      absl::StatusCode::kDeadlineExceeded, "no_answer",
      fmt::format("no answer within {}", absl::FormatDuration(spec.timeout)));
}

}  // namespace shoal::cli
