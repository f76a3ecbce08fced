#include <algorithm>
#include <cstdlib>

#include "common/status.h"
#include "server/fleet/filter/filter.h"

namespace shoal::server {
namespace {

using Op = FilterCondition::Op;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// An optional sign, digits, at most one point with digits behind it.
bool IsNumber(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    text.remove_prefix(1);
  }
  if (text.empty() || text.size() > 32 || !IsDigit(text.front()) ||
      !IsDigit(text.back())) {
    return false;
  }
  int points = 0;
  for (const char c : text) {
    if (c == '.') {
      ++points;
    } else if (!IsDigit(c)) {
      return false;
    }
  }
  return points <= 1;
}

double Number(std::string_view text) {
  return std::strtod(std::string(text).c_str(), nullptr);
}

// Takes the run of digits at the front, without leading zeros.
std::string_view TakeDigits(std::string_view& text) {
  size_t length = 0;
  while (length < text.size() && IsDigit(text[length])) ++length;
  std::string_view digits = text.substr(0, length);
  text.remove_prefix(length);
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  return digits;
}

int Sign(int value) { return value < 0 ? -1 : value > 0 ? 1 : 0; }

}  // namespace

bool TextPattern::anything() const {
  return pieces.size() > 1 &&
         std::all_of(pieces.begin(), pieces.end(),
                     [](const std::string& piece) { return piece.empty(); });
}

bool TextPattern::Matches(std::string_view text) const {
  if (exact()) return text == pieces.front();
  if (!text.starts_with(pieces.front())) return false;
  text.remove_prefix(pieces.front().size());
  // The first place is as good as any: what follows has all the more room.
  for (size_t i = 1; i + 1 < pieces.size(); ++i) {
    const size_t found = text.find(pieces[i]);
    if (found == text.npos) return false;
    text.remove_prefix(found + pieces[i].size());
  }
  return text.ends_with(pieces.back());
}

int CompareValues(std::string_view a, std::string_view b) {
  if (IsNumber(a) && IsNumber(b)) {
    const double x = Number(a);
    const double y = Number(b);
    return x < y ? -1 : x > y ? 1 : 0;
  }
  return CompareVersions(a, b);
}

int CompareVersions(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (IsDigit(a.front()) && IsDigit(b.front())) {
      const std::string_view x = TakeDigits(a);
      const std::string_view y = TakeDigits(b);
      if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
      if (const int order = x.compare(y); order != 0) return Sign(order);
      continue;
    }
    const auto x = static_cast<unsigned char>(a.front());
    const auto y = static_cast<unsigned char>(b.front());
    if (x != y) return x < y ? -1 : 1;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() && b.empty()) return 0;
  return a.empty() ? -1 : 1;
}

bool ValueMatches(const FilterCondition& condition, std::string_view value) {
  const bool version = condition.field == FilterField::kRunningVersion ||
                       condition.field == FilterField::kAgentVersion;
  const auto compare = [&] {
    return version ? CompareVersions(value, condition.text)
                   : CompareValues(value, condition.text);
  };
  switch (condition.op) {
    case Op::kEqual:
      return condition.pattern.Matches(value);
    case Op::kNotEqual:
      return !condition.pattern.Matches(value);
    case Op::kLess:
      return compare() < 0;
    case Op::kLessEqual:
      return compare() <= 0;
    case Op::kGreater:
      return compare() > 0;
    case Op::kGreaterEqual:
      return compare() >= 0;
  }
  return false;
}

bool EvaluateFilter(const FilterNode& node,
                    const std::function<bool(const FilterCondition&)>& holds) {
  const auto child = [&](const FilterNode& n) {
    return EvaluateFilter(n, holds);
  };
  switch (node.kind) {
    case FilterNode::Kind::kAll:
      return true;
    case FilterNode::Kind::kAnd:
      return std::all_of(node.children.begin(), node.children.end(), child);
    case FilterNode::Kind::kOr:
      return std::any_of(node.children.begin(), node.children.end(), child);
    case FilterNode::Kind::kNot:
      return !child(node.children.front());
    case FilterNode::Kind::kCondition:
      return holds(node.condition);
  }
  return false;
}

void ForEachCondition(
    const FilterNode& node,
    const std::function<void(const FilterCondition&)>& visit) {
  if (node.kind == FilterNode::Kind::kCondition) visit(node.condition);
  for (const FilterNode& child : node.children) ForEachCondition(child, visit);
}

absl::Status CheckWatchFilter(const FilterNode& node) {
  absl::Status status;
  ForEachCondition(node, [&](const FilterCondition& condition) {
    if (condition.field == FilterField::kLastSeen && status.ok()) {
      status = FilterError(condition.position,
                           "last_seen can't stand here: time alone would "
                           "change the answer");
    }
  });
  return status;
}

absl::Status CheckGroupFilter(const FilterNode& node) {
  absl::Status status = CheckWatchFilter(node);
  ForEachCondition(node, [&](const FilterCondition& condition) {
    if (condition.field == FilterField::kGroup && status.ok()) {
      status = FilterError(condition.position,
                           "a group can't be made of other groups");
    }
  });
  return status;
}

}  // namespace shoal::server
