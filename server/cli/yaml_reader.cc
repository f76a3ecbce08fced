#include "server/cli/yaml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "common/status.h"

namespace shoal::cli {

void YamlProblems::Add(const YAML::Node& at, std::string_view what) {
  lines_.push_back(fmt::format("{}:{}: {}", name_,
                               at.IsDefined() ? at.Mark().line + 1 : 1, what));
}

void YamlProblems::Add(const YAML::Node& at, const absl::Status& why) {
  if (!why.ok()) Add(at, std::string(why.message()));
}

absl::Status YamlProblems::Status() const {
  if (lines_.empty()) return absl::OkStatus();
  return InvalidArgument("bad_config",
                         fmt::format("{}", fmt::join(lines_, "\n")));
}

YamlMap::YamlMap(const YAML::Node& node, std::string_view what,
                 YamlProblems& problems)
    : what_(what), problems_(problems) {
  if (!node.IsMap()) {
    problems_.Add(node, fmt::format("{} is a map of keys and values", what_));
    return;
  }
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) {
      problems_.Add(entry.first, "a key is a word");
      continue;
    }
    const std::string key = entry.first.Scalar();
    if (!values_.emplace(key, entry.second).second) {
      problems_.Add(entry.first, fmt::format("'{}' stands there twice", key));
    }
    keys_.emplace(key, entry.first);
  }
}

YAML::Node YamlMap::Take(const std::string& key) {
  asked_.insert(key);
  const auto found = values_.find(key);
  return found == values_.end() ? YAML::Node(YAML::NodeType::Undefined)
                                : found->second;
}

void YamlMap::Text(const std::string& key,
                   const std::function<absl::Status(const std::string&)>& use) {
  if (!Has(key)) {
    asked_.insert(key);
    return;
  }
  const YAML::Node node = Take(key);
  if (!node.IsScalar()) {
    problems_.Add(node, fmt::format("'{}' is one value", key));
    return;
  }
  problems_.Add(node, use(node.Scalar()));
}

void YamlMap::Flag(const std::string& key,
                   const std::function<void(bool)>& use) {
  Text(key, [&](const std::string& text) -> absl::Status {
    if (text != "true" && text != "false") {
      return InvalidArgument("bad_config",
                             fmt::format("'{}' is true or false", key));
    }
    use(text == "true");
    return absl::OkStatus();
  });
}

void YamlMap::Number(const std::string& key, uint64_t min, uint64_t max,
                     const std::function<void(uint64_t)>& use) {
  Text(key, [&](const std::string& text) -> absl::Status {
    uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() ||
        value < min || value > max) {
      return InvalidArgument(
          "bad_config",
          fmt::format("'{}' is a whole number from {} to {}", key, min, max));
    }
    use(value);
    return absl::OkStatus();
  });
}

void YamlMap::Texts(
    const std::string& key,
    const std::function<absl::Status(const std::string&)>& use) {
  if (!Has(key)) {
    asked_.insert(key);
    return;
  }
  const YAML::Node node = Take(key);
  if (node.IsScalar()) {
    problems_.Add(node, use(node.Scalar()));
    return;
  }
  if (!node.IsSequence()) {
    problems_.Add(node, fmt::format("'{}' is a list", key));
    return;
  }
  for (const YAML::Node& one : node) {
    if (one.IsScalar()) {
      problems_.Add(one, use(one.Scalar()));
    } else {
      problems_.Add(one, fmt::format("'{}' is a list of single values", key));
    }
  }
}

void YamlMap::Pairs(
    const std::string& key,
    const std::function<absl::Status(const std::string&, const std::string&)>&
        use) {
  if (!Has(key)) {
    asked_.insert(key);
    return;
  }
  const YAML::Node node = Take(key);
  YamlMap map(node, fmt::format("'{}'", key), problems_);
  for (const auto& [name, value] : map.values_) {
    map.asked_.insert(name);
    if (value.IsScalar()) {
      problems_.Add(value, use(name, value.Scalar()));
    } else {
      problems_.Add(value, fmt::format("'{}' is one value", name));
    }
  }
}

void YamlMap::Map(const std::string& key,
                  const std::function<void(YamlMap&)>& use) {
  if (!Has(key)) {
    asked_.insert(key);
    return;
  }
  YamlMap map(Take(key), fmt::format("'{}'", key), problems_);
  use(map);
  map.Finish();
}

void YamlMap::Finish() {
  for (const auto& [key, node] : keys_) {
    if (!asked_.contains(key))
      problems_.Add(node, fmt::format("unknown key '{}' in {}", key, what_));
  }
}

}  // namespace shoal::cli
