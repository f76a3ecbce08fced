#include "common/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <set>

#include "common/files.h"
#include "common/status.h"

namespace shoal {
namespace {
constexpr uint64_t kMaxConfigBytes = 1 << 20;

// Every leaf key of `table` as dotted text, with its line.
void Leaves(const toml::table& table, const std::string& prefix,
            std::vector<std::pair<std::string, unsigned>>& out) {
  for (const auto& [key, node] : table) {
    const std::string full = prefix.empty()
                                 ? std::string(key.str())
                                 : fmt::format("{}.{}", prefix, key.str());
    if (const toml::table* inner = node.as_table())
      Leaves(*inner, full, out);
    else
      out.emplace_back(full, node.source().begin.line);
  }
}
}  // namespace

struct Config::Impl {
  std::string name;
  std::string directory = ".";
  toml::table root;
  std::set<std::string> asked;
  std::vector<std::string> problems;

  toml::node_view<toml::node> Find(std::string_view key) {
    asked.insert(std::string(key));
    return root.at_path(key);
  }
  void Problem(std::string_view key, unsigned line, std::string_view what) {
    problems.push_back(fmt::format("{}:{}: {}: {}", name, line, key, what));
  }
  template <typename T>
  T Get(std::string_view key, T default_value, const char* type) {
    auto node = Find(key);
    if (!node) return default_value;
    if (auto value = node.value_exact<T>()) return *value;
    Problem(key, node.node()->source().begin.line,
            fmt::format("must be {}", type));
    return default_value;
  }
};

Config::Config(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

absl::StatusOr<Config> Config::Parse(std::string_view text,
                                     const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  try {
    impl->root = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(
        "bad_config",
        fmt::format("{}:{}:{}: {}", name, error.source().begin.line,
                    error.source().begin.column, error.description()));
  }
  return Config(std::move(impl));
}

absl::StatusOr<Config> Config::Load(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(std::string text,
                         RealFileSystem().Read(path, kMaxConfigBytes));
  SHOAL_ASSIGN_OR_RETURN(Config config, Parse(text, path));
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos)
    config.impl_->directory = slash == 0 ? "/" : path.substr(0, slash);
  return config;
}

std::string Config::String(std::string_view key,
                           std::string_view default_value) {
  return impl_->Get<std::string>(key, std::string(default_value), "a string");
}

int64_t Config::Integer(std::string_view key, int64_t default_value,
                        int64_t min, int64_t max) {
  const int64_t value = impl_->Get<int64_t>(key, default_value, "an integer");
  if (value < min || value > max) {
    impl_->Problem(key,
                   impl_->Find(key).node()
                       ? impl_->Find(key).node()->source().begin.line
                       : 0,
                   fmt::format("must be from {} to {}", min, max));
    return default_value;
  }
  return value;
}

double Config::Number(std::string_view key, double default_value) {
  return impl_->Get<double>(key, default_value, "a number with a point");
}

bool Config::Boolean(std::string_view key, bool default_value) {
  return impl_->Get<bool>(key, default_value, "true or false");
}

absl::Duration Config::Duration(std::string_view key,
                                absl::Duration default_value) {
  const std::string text = String(key);
  if (text.empty()) return default_value;
  absl::Duration value;
  if (!absl::ParseDuration(text, &value) || value < absl::ZeroDuration()) {
    impl_->Problem(key, impl_->Find(key).node()->source().begin.line,
                   "must be a duration such as \"1500ms\", \"30s\" or \"2h\"");
    return default_value;
  }
  return value;
}

std::vector<std::string> Config::Strings(std::string_view key) {
  std::vector<std::string> values;
  auto node = impl_->Find(key);
  if (!node) return values;
  const unsigned line = node.node()->source().begin.line;
  const toml::array* array = node.as_array();
  if (array == nullptr) {
    impl_->Problem(key, line, "must be an array of strings");
    return values;
  }
  for (const toml::node& item : *array) {
    if (auto value = item.value_exact<std::string>())
      values.push_back(*value);
    else
      impl_->Problem(key, line, "must be an array of strings");
  }
  return values;
}

std::vector<std::string> Config::Tables(std::string_view key) {
  std::vector<std::string> names;
  auto node = impl_->root.at_path(key);
  if (const toml::table* table = node.as_table())
    for (const auto& [name, value] : *table)
      if (value.is_table()) names.emplace_back(name.str());
  return names;
}

std::string Config::RequiredString(std::string_view key) {
  std::string value = String(key);
  if (value.empty()) impl_->Problem(key, 0, "is required");
  return value;
}

std::string Config::Path(std::string_view key, std::string_view default_value) {
  const std::string value = String(key, default_value);
  if (value.empty() || value[0] == '/') return value;
  return JoinPath(impl_->directory, value);
}

absl::Status Config::Finish() {
  std::vector<std::pair<std::string, unsigned>> leaves;
  Leaves(impl_->root, "", leaves);
  for (const auto& [key, line] : leaves)
    if (!impl_->asked.contains(key))
      impl_->Problem(key, line, "unknown key (misspelt?)");
  if (impl_->problems.empty()) return absl::OkStatus();
  std::string all;
  for (const std::string& problem : impl_->problems) {
    if (!all.empty()) all.push_back('\n');
    all.append(problem);
  }
  return InvalidArgument("bad_config", all);
}

}  // namespace shoal
