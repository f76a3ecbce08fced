// Which dynamic groups a change of a device can concern: looked up by the
// terms that the device gained and lost, so that a fleet of a thousand groups
// costs a change what the few groups cost that ask for what changed.
#ifndef SHOAL_SERVER_FLEET_GROUP_MATCHER_H_
#define SHOAL_SERVER_FLEET_GROUP_MATCHER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/fleet/device_terms.h"
#include "server/store/state.pb.h"

namespace shoal::server {

// Immutable once filled: thread-safe.
class GroupMatcher {
 public:
  // A dynamic group; `filter` passed CheckGroupFilter().
  void Add(const std::string& id, FilterNode filter);
  // A static group: only that it is there is known.
  void AddStatic(const std::string& id) { static_.push_back(id); }

  // Brings `groups` (sorted ids) to what the device is now in. Of dynamic
  // groups those are judged that a term of `changed` concerns, or all for a
  // new device; groups that are not there any more are dropped. At most
  // kMaxGroupsOfDevice are kept; `overflow` says that there were more.
  void Update(const FilterSubject& device, bool is_new,
              const std::vector<DeviceTerm>& changed,
              std::vector<std::string>& groups, bool& overflow) const;
  // How many filters the last line of Update() would judge: for tests.
  std::vector<std::string> Concerned(
      const std::vector<DeviceTerm>& changed) const;

 private:
  std::map<std::string, FilterNode> dynamic_;
  std::vector<std::string> static_;
  // Term key, or prefix of terms → groups whose filter asks for it.
  std::map<std::string, std::vector<std::string>> by_term_;
  std::map<std::string, std::vector<std::string>> by_prefix_;
};

inline constexpr size_t kMaxGroupsOfDevice = 64;

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_GROUP_MATCHER_H_
