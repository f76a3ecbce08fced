// One command to one device, from operator to device and back, through the
// network only: sealed to the device, signed by the operator's own key, the
// answer sealed to a key made for this command.
#ifndef SHOAL_SERVER_CLI_REMOTE_COMMAND_H_
#define SHOAL_SERVER_CLI_REMOTE_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/box.h"
#include "dht/records/record.h"
#include "server/cli/records_session.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::cli {

inline constexpr absl::Duration kLongestCommand = absl::Minutes(15);

struct CommandSpec {
  std::string device_id;  // 16 bytes
  std::string name;
  std::vector<std::string> arguments;
  absl::Duration timeout = absl::Seconds(60);
};

// The message, before it is sealed.
records::v1::Command MakeCommand(const CommandSpec& spec,
                                 const std::string& operator_key,
                                 const std::string& reply_key, absl::Time now);

// Opens a COMMAND_RESULT record and checks that it answers `command` and was
// written by the commanded device. "wrong_result" (kPermissionDenied),
// "not_decryptable", "bad_record".
absl::StatusOr<records::v1::CommandResult> OpenResult(
    const dht::VerifiedRecord& record, const records::v1::Command& command,
    const crypto::BoxKey& reply_key);

// OK when the command ran with exit code 0; else what the device said:
// kPermissionDenied "permission_denied", kNotFound "unknown_command", …
absl::Status StatusOfResult(const records::v1::CommandResult& result);

// The whole exchange; blocks up to spec.timeout. "no_device_report"
// (kNotFound), "no_answer" (kDeadlineExceeded). `on_sent` hears of the
// receipts.
absl::StatusOr<records::v1::CommandResult> RunRemoteCommand(
    RecordsSession& session, const CommandSpec& spec, Clock& clock,
    const std::function<void(const dht::PutResult&)>& on_sent);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_REMOTE_COMMAND_H_
