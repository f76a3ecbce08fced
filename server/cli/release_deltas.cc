// shoal release deltas, shoal release gc.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/parse.h"
#include "server/cli/release_parts.h"

namespace shoal::cli {
namespace {

struct DeltaOptions {
  std::string release;
  bool dry_run = false;
};

std::string StateWord(release::v1::DeltaState state) {
  switch (state) {
    case release::v1::DELTA_STATE_WANTED:
      return "wanted";
    case release::v1::DELTA_STATE_MAKING:
      return "making";
    case release::v1::DELTA_STATE_MADE:
      return "made";
    case release::v1::DELTA_STATE_USELESS:
      return "useless";
    case release::v1::DELTA_STATE_FAILED:
      return "failed";
    case release::v1::DELTA_STATE_UNUSED:
      return "unused";
    default:
      return "?";
  }
}

absl::Status Deltas(Program& program, const DeltaOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId id, ParseReleaseId(options.release));
  release::v1::ListDeltasRequest request;
  request.set_parent(id.Name());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto list, plane->ListDeltas(request));
  program.Print(list, [&] {
    Table table({"FROM", "DEVICES", "STATE", "SIZE", "MODE", "NOTE"});
    for (const auto& delta : list.deltas()) {
      std::string note = delta.failure();
      if (delta.retry_at() > 0)
        note += "; again at " + FormatMillis(delta.retry_at());
      if (delta.collect_at() > 0)
        note = "goes at " + FormatMillis(delta.collect_at());
      table.AddRow({delta.from_version(), std::to_string(delta.devices()),
                    StateWord(delta.state()),
                    delta.length() > 0 ? HumanBytes(delta.length()) : "-",
                    delta.mode().empty() ? "-" : delta.mode(),
                    note.empty() ? "-" : note});
    }
    return table.Render(program.width()) +
           fmt::format("{} of {} deltas that devices need are done, {}\n",
                       list.made(), list.wanted(), HumanBytes(list.bytes()));
  });
  return absl::OkStatus();
}

absl::Status Collect(Program& program, const DeltaOptions& options) {
  release::v1::CollectDeltasRequest request;
  request.set_validate_only(options.dry_run);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto answer, plane->CollectDeltas(request));
  if (options.dry_run) program.Remark("dry run: nothing was changed");
  program.Print(answer, [&] {
    Table table({"RELEASE", "FROM", "SIZE", "UNUSED SINCE", "GOES"});
    const auto add = [&](const auto& list, bool now) {
      for (const auto& delta : list)
        table.AddRow(
            {ShortName(delta.release()),
             delta.from_version().empty() ? delta.from_sha256().substr(0, 12)
                                          : delta.from_version(),
             HumanBytes(delta.length()), FormatMillis(delta.unused_since()),
             now ? "now" : FormatMillis(delta.collect_at())});
    };
    add(answer.deltas(), true);
    add(answer.waiting(), false);
    return table.Render(program.width()) +
           fmt::format("{} deltas, {} {}\n", answer.deltas_size(),
                       HumanBytes(answer.bytes()),
                       options.dry_run ? "would go" : "are gone");
  });
  return absl::OkStatus();
}

}  // namespace

void AddDeltaCommands(CLI::App& releases, Program& program) {
  auto deltas = std::make_shared<DeltaOptions>();
  CLI::App* command = AddCommand(
      releases, "deltas",
      "Deltas to a release: wanted, being made, made, no longer needed",
      "release deltas gateway/1.4.0");
  command->add_option("release", deltas->release, "TYPE/VERSION")->required();
  OnRun(command, program, deltas, Deltas);

  auto gc = std::make_shared<DeltaOptions>();
  command = AddCommand(
      releases, "gc",
      "Remove deltas that no device has needed for the grace period; shoald "
      "does it by itself once an hour",
      "release gc --dry-run\nrelease gc");
  command->add_flag("--dry-run", gc->dry_run,
                    "Say what would go; change nothing");
  OnRun(command, program, gc, Collect);
}

}  // namespace shoal::cli
