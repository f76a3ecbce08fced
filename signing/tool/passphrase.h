#ifndef SHOAL_SIGNING_TOOL_PASSPHRASE_H_
#define SHOAL_SIGNING_TOOL_PASSPHRASE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"

namespace shoal::signing {

// The first line of `file`, or, when it is empty, asked for on the terminal
// without echo (twice when `confirm`). Never from the environment, which other
// processes can read. "no_passphrase" when there is neither or it is empty.
absl::StatusOr<crypto::SecretBytes> ReadPassphrase(const std::string& file,
                                                   bool confirm);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_PASSPHRASE_H_
