#include "tests/support/source_path.h"

namespace shoal::testing {

std::string SourcePath(std::string_view path) {
  return std::string(SHOAL_SOURCE_DIR "/").append(path);
}

}  // namespace shoal::testing
