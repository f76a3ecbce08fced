// What belongs to a release beside its image: artifacts for other components,
// attachments, deltas.
#ifndef SHOAL_SERVER_CLI_RELEASE_PARTS_H_
#define SHOAL_SERVER_CLI_RELEASE_PARTS_H_

#include <string>

#include "server/cli/commands.h"
#include "shoal/release/v1/release_service.pb.h"

namespace shoal::cli {

// Lines for people; "" when there is only the image, for any hardware.
std::string DescribeParts(const release::v1::Release& release);

// release attachments, release download.
void AddAttachmentCommands(CLI::App& releases, Program& program);
// release deltas, release gc.
void AddDeltaCommands(CLI::App& releases, Program& program);
// release delete.
void AddReleaseDeleteCommand(CLI::App& releases, Program& program);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_RELEASE_PARTS_H_
