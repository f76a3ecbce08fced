// A directory that lives as long as the object.
#ifndef SHOAL_TESTS_SUPPORT_TEMP_DIR_H_
#define SHOAL_TESTS_SUPPORT_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace shoal::testing {

class TempDir {
 public:
  TempDir();   // aborts the test program when it can't be made
  ~TempDir();  // removes it; kept when SHOAL_KEEP_TEMP is set
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_TEMP_DIR_H_
