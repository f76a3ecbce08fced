#include "server/fleet/group_matcher.h"

#include <algorithm>
#include <set>
#include <utility>

namespace shoal::server {

void GroupMatcher::Add(const std::string& id, FilterNode filter) {
  ForEachCondition(filter, [&](const FilterCondition& condition) {
    // A name never changes: a new device is judged anyway.
    if (condition.field == FilterField::kName) return;
    const std::string prefix = TermPrefix(condition);
    const bool exact = condition.op == FilterCondition::Op::kEqual &&
                       condition.pattern.exact();
    auto& ids = exact ? by_term_[prefix + condition.pattern.pieces.front()]
                      : by_prefix_[prefix];
    if (ids.empty() || ids.back() != id) ids.push_back(id);
  });
  dynamic_[id] = std::move(filter);
}

std::vector<std::string> GroupMatcher::Concerned(
    const std::vector<DeviceTerm>& changed) const {
  std::set<std::string> ids;
  for (const DeviceTerm& term : changed) {
    if (const auto it = by_term_.find(term.Key()); it != by_term_.end()) {
      ids.insert(it->second.begin(), it->second.end());
    }
    if (const auto it = by_prefix_.find(term.prefix); it != by_prefix_.end()) {
      ids.insert(it->second.begin(), it->second.end());
    }
  }
  return {ids.begin(), ids.end()};
}

void GroupMatcher::Update(const FilterSubject& device, bool is_new,
                          const std::vector<DeviceTerm>& changed,
                          std::vector<std::string>& groups,
                          bool& overflow) const {
  std::set<std::string> result;
  for (const std::string& id : groups) {
    if (dynamic_.contains(id) ||
        std::binary_search(static_.begin(), static_.end(), id)) {
      result.insert(id);
    }
  }
  const auto judge = [&](const std::string& id, const FilterNode& filter) {
    if (Matches(filter, device)) {
      result.insert(id);
    } else {
      result.erase(id);
    }
  };
  if (is_new) {
    for (const auto& [id, filter] : dynamic_) judge(id, filter);
  } else {
    for (const std::string& id : Concerned(changed)) {
      judge(id, dynamic_.at(id));
    }
  }
  groups.assign(result.begin(), result.end());
  overflow = groups.size() > kMaxGroupsOfDevice;
  if (overflow) groups.resize(kMaxGroupsOfDevice);
}

}  // namespace shoal::server
