// What is in a patch and where its bytes went.
#ifndef SHOAL_DELTA_TOOL_INFO_H_
#define SHOAL_DELTA_TOOL_INFO_H_

#include <string>

#include "absl/status/status.h"

namespace shoal::delta {

// Prints the header, how many bytes each part takes, and a plot of the patch's
// bytes by region of the result. `svg_path`, when not empty: the plot as SVG.
// The windows' checksums are compared; nothing is applied.
absl::Status PrintInfo(const std::string& patch_path,
                       const std::string& svg_path);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_INFO_H_
