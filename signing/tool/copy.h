#ifndef SHOAL_SIGNING_TOOL_COPY_H_
#define SHOAL_SIGNING_TOOL_COPY_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "signing/metadata/file_root.h"

namespace shoal::signing {

// Copies `from` into `directory` under the name that `name` makes of the
// copy's digests. The digests are of the bytes that were written, so a file
// that changes meanwhile can't be signed as something else. Durable on return.
absl::StatusOr<FileDigests> CopyDigested(
    const std::string& from, const std::string& directory,
    const std::function<std::string(const FileDigests&)>& name);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_COPY_H_
