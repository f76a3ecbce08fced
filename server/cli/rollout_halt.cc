#include "server/cli/rollout_halt.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/records/record.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/fleet_view.h"
#include "server/cli/parse.h"
#include "server/cli/records_session.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::cli {
namespace {

// A halt outlives the rollout it ends: rollouts live 30 days unless told.
constexpr absl::Duration kLifetime = absl::Hours(24 * 90);

struct HaltOptions {
  std::string name;
  std::string reason;
  std::string device_type;
  std::string timeout = "30s";
};

// From the flag, from shoald, or from the metadata of the context.
absl::StatusOr<std::string> DeviceTypeOf(Program& program,
                                         const HaltOptions& options,
                                         const std::string& name) {
  if (!options.device_type.empty()) {
    if (IsIdentifier(options.device_type)) return options.device_type;
    return UsageError("--type is a device type, such as gateway");
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  rollout::v1::GetRolloutRequest request;
  request.set_name(name);
  const auto rollout = plane->GetRollout(request);
  if (rollout.ok()) return rollout->document().device_type();
  if (ExitCodeOf(rollout.status()) != kExitUnreachable) {
    return rollout.status();
  }
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
  return RolloutDeviceType(*context, network, ShortName(name), program.fs(),
                           program.clock());
}

dht::RecordFields HaltRecord(const RecordsSession& session,
                             const std::string& rollout_id,
                             const std::string& reason,
                             const std::string& device_type, absl::Time now) {
  records::v1::Halt halt;
  halt.set_rollout_id(rollout_id);
  // Grows over all operators without asking anybody.
  halt.set_counter(static_cast<uint64_t>(absl::ToUnixMillis(now)));
  halt.set_reason(reason);
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_HALT;
  fields.place = session.places().Halt(device_type);
  fields.version = halt.counter();
  fields.issued = now;
  fields.expires = now + kLifetime;
  fields.payload = halt.SerializeAsString();
  return fields;
}

absl::Status Halt(Program& program, const HaltOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, RolloutName(options.name));
  SHOAL_ASSIGN_OR_RETURN(const absl::Duration timeout,
                         ParseDuration(options.timeout));
  if (options.reason.size() > 512) {
    return UsageError("--reason has at most 512 characters");
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string device_type,
                         DeviceTypeOf(program, options, name));
  SHOAL_ASSIGN_OR_RETURN(const auto session,
                         RecordsSession::Open(program, timeout));
  std::string record;
  const auto put =
      session->PutSigned(HaltRecord(*session, ShortName(name), options.reason,
                                    device_type, program.clock().WallNow()),
                         timeout, &record);
  // Both ways are tried: either is enough for the devices to hear of it.
  rollout::v1::HaltRolloutRequest request;
  request.set_name(name);
  request.set_halt_record(record);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  const auto told = plane->HaltRollout(request);
  const bool plane_down =
      !told.ok() && ExitCodeOf(told.status()) == kExitUnreachable;
  if (program.json()) {
    program.PrintJson(
        JsonObject()
            .Text("rollout", ShortName(name))
            .Text("device_type", device_type)
            .Text("record_sha256", HexEncode(dht::RecordDigest(record)))
            .Number("receipts",
                    put.ok() ? static_cast<uint64_t>(put->receipts) : 0)
            .Number("receipts_wanted",
                    put.ok() ? static_cast<uint64_t>(put->wanted) : 0)
            .Boolean("plane_told", told.ok())
            .ToString());
  } else {
    program.PrintText(
        put.ok() ? fmt::format("{}: halt signed; {} of {} storage nodes have "
                               "it on disk\n",
                               ShortName(name), put->receipts, put->wanted)
                 : "");
    if (told.ok()) program.PrintText("shoald knows of it\n");
  }
  if (plane_down) {
    program.Remark(
        "shoald does not answer: it will find the halt in the "
        "network when it is back");
  } else if (!told.ok()) {
    // The policy's word: devices would refuse the halt as well.
    return told.status();
  }
  if (!put.ok() && !told.ok()) return put.status();
  if (!put.ok()) {
    program.Remark("no storage node confirmed the halt; shoald passes it on");
  }
  return absl::OkStatus();
}

}  // namespace

void AddHaltCommand(CLI::App& group, Program& program) {
  auto options = std::make_shared<HaltOptions>();
  CLI::App* command = AddCommand(
      group, "halt", "End all new starts of a rollout; works with shoald down",
      "rollout halt r-7 --reason 'modem drops after an hour'\n"
      "rollout halt r-7 --type gateway");
  command->add_option("rollout", options->name, "Its id")->required();
  command->add_option("--reason", options->reason, "Why, for everybody to see");
  command->add_option("--type", options->device_type,
                      "Device type, when shoald is down and the context does "
                      "not know the rollout");
  command->add_option("--timeout", options->timeout,
                      "How long to wait for receipts [30s]");
  OnRun(command, program, options, Halt);
}

}  // namespace shoal::cli
