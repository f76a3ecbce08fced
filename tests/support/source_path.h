// Files of the checkout, for tests that read one. A function and not a macro of
// the build: only one object file then depends on where the checkout lies, so
// that a compiler cache serves every clone.
#ifndef SHOAL_TESTS_SUPPORT_SOURCE_PATH_H_
#define SHOAL_TESTS_SUPPORT_SOURCE_PATH_H_

#include <string>
#include <string_view>

namespace shoal::testing {

// Absolute; `path` is relative to the top of the checkout.
std::string SourcePath(std::string_view path);

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_SOURCE_PATH_H_
