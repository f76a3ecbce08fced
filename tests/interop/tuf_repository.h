// A repository by our own builder, with all that a fleet's has and more, so
// that strangers' clients can be held against it.
#ifndef SHOAL_TESTS_INTEROP_TUF_REPOSITORY_H_
#define SHOAL_TESTS_INTEROP_TUF_REPOSITORY_H_

#include <map>
#include <string>
#include <vector>

namespace shoal::testing {

struct TufRepository {
  std::map<std::string, std::string> targets;  // bytes by path
  std::map<std::string, std::string> custom;   // JSON by path
  std::vector<std::string> absent;             // paths that nobody signs
};

// Writes metadata/ and targets/ below `directory`: root 1 and 2, 2 of 3 keys of
// which one is exchanged; an fw- role (terminating), deltas with custom fields,
// awkward names, hash bins (succinct) and delegations by hash prefix. A failure
// is a failure of the running test.
TufRepository MakeTufRepository(const std::string& directory);

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEROP_TUF_REPOSITORY_H_
