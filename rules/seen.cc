#include "rules/seen.h"

namespace shoal::rules {

SeenAnswer Note(SeenVersion& seen, uint64_t version, std::string_view digest) {
  if (version < seen.version) return SeenAnswer::kOlder;
  if (version == seen.version) {
    if (seen.digest == digest) return SeenAnswer::kSame;
    seen.conflict = true;
    return SeenAnswer::kConflict;
  }
  seen.version = version;
  seen.digest = std::string(digest);
  seen.conflict = false;
  return SeenAnswer::kNewer;
}

}  // namespace shoal::rules
