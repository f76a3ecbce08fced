// shoal release delete.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/confirm.h"
#include "server/cli/parse.h"
#include "server/cli/release_parts.h"

namespace shoal::cli {
namespace {

struct DeleteOptions {
  std::string release;
  bool force = false;
  bool dry_run = false;
  bool yes = false;
};

// What goes, as a question or as an answer.
std::string WhatGoes(const release::v1::DeleteReleaseResponse& answer) {
  return fmt::format("{} and {} deltas, {}", ShortName(answer.release().name()),
                     answer.deltas_size(), HumanBytes(answer.bytes()));
}

absl::Status Delete(Program& program, const DeleteOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId id, ParseReleaseId(options.release));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  release::v1::DeleteReleaseRequest request;
  request.set_name(id.Name());
  request.set_allow_in_use(options.force);
  request.set_validate_only(true);
  SHOAL_ASSIGN_OR_RETURN(auto answer, plane->DeleteRelease(request));
  for (const std::string& warning : answer.warnings())
    program.Remark("warning: " + warning);
  if (!options.dry_run) {
    SHOAL_RETURN_IF_ERROR(
        Confirm(program,
                fmt::format("Delete {}, running on {} devices",
                            WhatGoes(answer), answer.release().devices()),
                options.yes));
    request.set_validate_only(false);
    // What was shown is what goes.
    request.set_etag(answer.release().etag());
    request.set_request_id(HexEncode(crypto::RandomBytes(16)));
    SHOAL_ASSIGN_OR_RETURN(answer, plane->DeleteRelease(request));
  } else {
    program.Remark("dry run: nothing was changed");
  }
  program.Print(answer, [&] {
    return fmt::format("{} {}\n", WhatGoes(answer),
                       options.dry_run ? "would go" : "are gone");
  });
  return absl::OkStatus();
}

}  // namespace

void AddReleaseDeleteCommand(CLI::App& releases, Program& program) {
  auto options = std::make_shared<DeleteOptions>();
  CLI::App* command = AddCommand(
      releases, "delete",
      "Delete a release, its deltas and their bytes from the plane; refused "
      "while something needs it",
      "release delete gateway/1.2.0 --dry-run\n"
      "release delete gateway/1.2.0\n"
      "release delete gateway/1.2.0 --force --yes");
  command->add_option("release", options->release, "TYPE/VERSION")->required();
  command->add_flag("--force", options->force,
                    "Although devices run it, or an abort of a rollout would "
                    "lead back to it");
  command->add_flag("--dry-run", options->dry_run,
                    "Say what would go; change nothing");
  command->add_flag("-y,--yes", options->yes, "Do not ask");
  OnRun(command, program, options, Delete);
}

}  // namespace shoal::cli
