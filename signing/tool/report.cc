#include "signing/tool/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"

namespace shoal::signing {
namespace {

std::set<std::string> Publics(const RoleKeys& role,
                              const std::map<std::string, Key>& keys) {
  std::set<std::string> result;
  for (const std::string& id : role.key_ids)
    if (const auto it = keys.find(id); it != keys.end())
      result.insert(it->second.public_key);
  return result;
}

}  // namespace

std::string Report::Take() { return text_ + rest_.Lines(); }

void Report::Line(std::string_view line) {
  text_ += fmt::format("  {}\n", line);
}

void Report::More(std::string_view document, const std::string& lines) {
  if (lines.empty()) return;
  Line(fmt::format("{}, otherwise:", document));
  text_ += lines;
}

void Report::Entries(
    const std::map<std::string, std::string>& before,
    const std::map<std::string, std::string>& after,
    const std::function<void(JsonRest::Side, const std::string&)>& told) {
  for (const auto& [name, text] : before)
    if (!after.contains(name)) {
      Line(fmt::format("- {} {}", Printable(name), text));
      told(JsonRest::kBefore, name);
    }
  for (const auto& [name, text] : after) {
    const auto old = before.find(name);
    if (old != before.end() && old->second == text) continue;
    Line(fmt::format("{} {} {}", old == before.end() ? '+' : '~',
                     Printable(name), text));
    told(JsonRest::kAfter, name);
    if (old == before.end()) continue;
    Line(fmt::format("    was: {}", old->second));
    told(JsonRest::kBefore, name);
  }
}

void Report::Common(const SignedCommon& before, const SignedCommon& after) {
  // The heading of a review has the versions.
  if (before.version == 0)
    Line(fmt::format("expires {}", FormatExpires(after.expires)));
  else if (before.expires != after.expires)
    Line(fmt::format("expires {}, was {}", FormatExpires(after.expires),
                     FormatExpires(before.expires)));
  for (const JsonRest::Side side : {JsonRest::kBefore, JsonRest::kAfter})
    for (const char* name : {"expires", "version"})
      rest_.Told(side, Pointer(), name);
}

// The ids of `here` whose keys are not among those of `there`, and the keys
// themselves, where they say nothing beside the public key that was shown.
void Report::ToldKeys(JsonRest::Side side, const Pointer& role,
                      const Pointer& keys, const RoleKeys& here,
                      const std::map<std::string, Key>& known,
                      const RoleKeys& there,
                      const std::map<std::string, Key>& known_there) {
  rest_.Told(side, role, "threshold");
  const std::set<std::string> shared = Publics(there, known_there);
  std::set<std::string> shown;
  for (const std::string& id : here.key_ids) {
    const auto key = known.find(id);
    if (key == known.end() || !key->second.supported ||
        shared.contains(key->second.public_key) ||
        !shown.insert(key->second.public_key).second)
      continue;
    rest_.ToldElement(side, role / "keyids", id);
    const JsonRest::Json plain = {
        {"keytype", "ed25519"},
        {"scheme", "ed25519"},
        {"keyval", {{"public", HexEncode(key->second.public_key)}}}};
    if (const auto* found = rest_.Find(side, keys / id);
        found != nullptr && *found == plain && !known_there.contains(id))
      rest_.Told(side, keys, id);
  }
}

void Report::Keys(const std::string& name, const Pointer& role,
                  const Pointer& keys, const RoleKeys& before,
                  const std::map<std::string, Key>& old_keys,
                  const RoleKeys& after,
                  const std::map<std::string, Key>& new_keys) {
  const std::set<std::string> was = Publics(before, old_keys);
  const std::set<std::string> is = Publics(after, new_keys);
  if (before.key_ids.empty())
    Line(fmt::format("+ role {}: {} of {} keys", name, after.threshold,
                     is.size()));
  else if (before.threshold != after.threshold || was.size() != is.size())
    Line(fmt::format("~ role {}: {} of {} keys, was {} of {}", name,
                     after.threshold, is.size(), before.threshold, was.size()));
  else if (was != is)
    Line(fmt::format("~ role {}: other keys", name));
  else
    return;
  for (const std::string& key : was)
    if (!is.contains(key)) Line(fmt::format("    - key {}", NameAndKey(key)));
  for (const std::string& key : is)
    if (!was.contains(key)) Line(fmt::format("    + key {}", NameAndKey(key)));
  ToldKeys(JsonRest::kBefore, role, keys, before, old_keys, after, new_keys);
  ToldKeys(JsonRest::kAfter, role, keys, after, new_keys, before, old_keys);
}

void Report::KeyList(const std::string& name, const Pointer& list,
                     const std::vector<std::string>& before,
                     const std::vector<std::string>& after) {
  const auto only_in = [&](const auto& here, const auto& there, char sign,
                           JsonRest::Side side) {
    for (const std::string& key : here) {
      if (std::find(there.begin(), there.end(), key) != there.end()) continue;
      OneKey(sign, name, key);
      rest_.ToldElement(side, list, HexEncode(key));
    }
  };
  only_in(before, after, '-', JsonRest::kBefore);
  only_in(after, before, '+', JsonRest::kAfter);
}

void Report::OneKey(char sign, const std::string& name,
                    const std::string& key) {
  Line(fmt::format("{} {} {}", sign, name, NameAndKey(key)));
}

// A key of another kind is text that anybody may have written.
std::string Report::NameAndKey(const std::string& key) const {
  const std::string name = tree_.NameOf(key);
  const std::string hex = HexEncode(key);
  return hex.starts_with(name) ? hex : fmt::format("{} {}", name, hex);
}

}  // namespace shoal::signing
