#include "tests/support/temp_dir.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/files.h"

namespace shoal::testing {

TempDir::TempDir() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "shoal-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    perror("mkdtemp");
    abort();
  }
  path_ = pattern;
}

TempDir::~TempDir() {
  if (getenv("SHOAL_KEEP_TEMP") != nullptr) {
    fprintf(stderr, "kept %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;  // nothing to do about it in a destructor
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::File(std::string_view name) const {
  return JoinPath(path_, name);
}

}  // namespace shoal::testing
