// What changes between two versions of a role, in lines that a custodian
// reads before signing.
#ifndef SHOAL_SIGNING_TOOL_DIFFERENCE_H_
#define SHOAL_SIGNING_TOOL_DIFFERENCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "signing/tool/tree.h"

namespace shoal::signing {

// "+" new, "-" gone, "~" changed; every line ends with a newline. `before` may
// be empty: everything is new then. The access policy is read from the tree.
absl::StatusOr<std::string> Difference(const Tree& tree,
                                       const std::string& role,
                                       const std::string& before,
                                       const std::string& after);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_DIFFERENCE_H_
