// What changes between two versions of a role, in lines that a custodian
// reads before signing. All of it: what has no words of its own is told as
// JSON, leaf by leaf, fields that nobody knows and orders included
// (json_rest.h).
#ifndef SHOAL_SIGNING_TOOL_DIFFERENCE_H_
#define SHOAL_SIGNING_TOOL_DIFFERENCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "signing/tool/tree.h"

namespace shoal::signing {

// "+" new, "-" gone, "~" changed; every line ends with a newline, and none
// holds a control character of the files. `before` may be empty, but for
// snapshot and timestamp: everything is new then. The version is left to the
// heading, but for these two. The access policy is read from the tree. Empty:
// the content of "signed" is the same.
absl::StatusOr<std::string> Difference(const Tree& tree,
                                       const std::string& role,
                                       const std::string& before,
                                       const std::string& after);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_DIFFERENCE_H_
