// What the rules know of a device and of the moment. Plain values: the rules
// do no I/O, so server, agent and simulator reach the same answers.
#ifndef SHOAL_RULES_FACTS_H_
#define SHOAL_RULES_FACTS_H_

#include <map>
#include <set>
#include <string>

namespace shoal::rules {

struct DeviceFacts {
  std::string id;  // 16 bytes
  std::string device_type;
  // For rollouts: of the signed assignment. For access rules: of the policy
  // document, so that the plane can't relabel a device into more rights.
  std::map<std::string, std::string> labels;
  // Of the signed assignment; for rollouts only.
  std::set<std::string> groups = {};
};

// Device-local civil time.
struct LocalTime {
  int weekday = 1;  // 1 Monday … 7 Sunday
  int minute = 0;   // since midnight, 0 … 1439
  int date = 0;     // YYYYMMDD; 0: not known
};

}  // namespace shoal::rules

#endif  // SHOAL_RULES_FACTS_H_
