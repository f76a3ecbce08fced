#include "signing/tool/json_rest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"

namespace shoal::signing {
namespace {

using Json = JsonRest::Json;

constexpr size_t kMaxShown = 400;

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true,
                    Json::error_handler_t::replace);
}

// A leaf, or an empty container. What is long is named by its digest too, so
// that no two that differ look alike.
std::string Shown(const Json& leaf) {
  std::string text = Dump(leaf);
  if (text.size() <= kMaxShown) return text;
  return fmt::format("{}… ({} bytes, sha256 {})", text.substr(0, kMaxShown),
                     text.size(), HexEncode(crypto::Sha256Digest(text)));
}

bool IsWord(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

std::string Member(const std::string& place, const std::string& key) {
  const std::string shown = IsWord(key) ? key : Dump(key);
  return place.empty() ? shown : place + "." + shown;
}

bool IsContainer(const Json& value) {
  return value.is_structured() && !value.empty();
}

// Every leaf of `value`, with its sign.
void All(char sign, const std::string& place, const Json& value,
         std::string& lines) {
  if (!IsContainer(value)) {
    lines += fmt::format("  {} {}: {}\n", sign, place, Shown(value));
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      All(sign, Member(place, key), member, lines);
  } else {
    for (size_t i = 0; i < value.size(); ++i)
      All(sign, fmt::format("{}[{}]", place, i), value[i], lines);
  }
}

void Compare(const std::string& place, const Json& before, const Json& after,
             std::string& lines) {
  if (before == after && before.type() == after.type()) return;
  if (before.is_object() && after.is_object()) {
    std::set<std::string> keys;
    for (const Json* side : {&before, &after})
      for (const auto& [key, member] : side->items()) keys.insert(key);
    for (const std::string& key : keys) {
      const std::string at = Member(place, key);
      if (!after.contains(key))
        All('-', at, before[key], lines);
      else if (!before.contains(key))
        All('+', at, after[key], lines);
      else
        Compare(at, before[key], after[key], lines);
    }
  } else if (before.is_array() && after.is_array()) {
    for (size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
      const std::string at = fmt::format("{}[{}]", place, i);
      if (i >= after.size())
        All('-', at, before[i], lines);
      else if (i >= before.size())
        All('+', at, after[i], lines);
      else
        Compare(at, before[i], after[i], lines);
    }
  } else if (IsContainer(before) || IsContainer(after)) {
    All('-', place, before, lines);
    All('+', place, after, lines);
  } else {
    lines +=
        fmt::format("  ~ {}: {}, was {}\n", place, Shown(after), Shown(before));
  }
}

}  // namespace

const Json* JsonRest::Find(Side side, const Pointer& place) const {
  const Json& document = sides_[side];
  return document.contains(place) ? &document.at(place) : nullptr;
}

// Both sides have the container, be it empty on one of them.
void JsonRest::Level(const Pointer& container) {
  if (container.empty()) return;
  Level(container.parent_pointer());
  for (const Side side : {kBefore, kAfter}) {
    const Side other = side == kBefore ? kAfter : kBefore;
    const Json* const there = Find(side, container);
    const Json* const parent = Find(other, container.parent_pointer());
    if (there == nullptr || Find(other, container) != nullptr ||
        parent == nullptr || !parent->is_object())
      continue;
    sides_[other][container] =
        there->is_array() ? Json::array() : Json::object();
  }
}

void JsonRest::Told(Side side, const Pointer& object, const std::string& key) {
  const Json* const there = Find(side, object);
  if (there == nullptr || !there->is_object() || !there->contains(key)) return;
  Level(object);
  sides_[side].at(object).erase(key);
}

void JsonRest::ToldElement(Side side, const Pointer& array,
                           const Json& element) {
  const Json* const there = Find(side, array);
  if (there == nullptr || !there->is_array()) return;
  const auto it = std::find(there->begin(), there->end(), element);
  if (it == there->end()) return;
  const auto index = static_cast<size_t>(it - there->begin());
  Level(array);
  sides_[side].at(array).erase(index);
}

std::string JsonRest::Lines() const {
  std::string lines;
  Compare("", sides_[kBefore], sides_[kAfter], lines);
  return lines;
}

std::string Printable(std::string_view text) {
  const std::string quoted = Dump(Json(std::string(text)));
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace shoal::signing
