// Strict reading of YAML: every key must be asked for, each problem is noted
// with its line. Only the .cc files that parse YAML include this.
#ifndef SHOAL_SERVER_CLI_YAML_READER_H_
#define SHOAL_SERVER_CLI_YAML_READER_H_

#include <yaml-cpp/yaml.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace shoal::cli {

// All problems of one document.
class YamlProblems {
 public:
  explicit YamlProblems(std::string name) : name_(std::move(name)) {}
  void Add(const YAML::Node& at, std::string_view what);
  void Add(const YAML::Node& at, const absl::Status& why);
  absl::Status Status() const;  // "bad_config"

 private:
  std::string name_;
  std::vector<std::string> lines_;
};

// A map of the document. One thread; `problems` outlives it.
class YamlMap {
 public:
  // `node` may be anything: what is no map is a problem.
  YamlMap(const YAML::Node& node, std::string_view what,
          YamlProblems& problems);

  bool Has(const std::string& key) const { return values_.contains(key); }
  // The node of `key`, undefined without it. It counts as asked for.
  YAML::Node Take(const std::string& key);
  // Calls `use` with the scalar's text; an error of it is noted.
  void Text(const std::string& key,
            const std::function<absl::Status(const std::string&)>& use);
  void Flag(const std::string& key, const std::function<void(bool)>& use);
  void Number(const std::string& key, uint64_t min, uint64_t max,
              const std::function<void(uint64_t)>& use);
  // A sequence of scalars, or one scalar.
  void Texts(const std::string& key,
             const std::function<absl::Status(const std::string&)>& use);
  // A map of scalars.
  void Pairs(const std::string& key,
             const std::function<absl::Status(const std::string&,
                                              const std::string&)>& use);
  void Map(const std::string& key, const std::function<void(YamlMap&)>& use);
  // Notes keys that nobody asked for.
  void Finish();

 private:
  std::string what_;
  YamlProblems& problems_;
  std::map<std::string, YAML::Node> values_;
  std::map<std::string, YAML::Node> keys_;
  std::set<std::string> asked_;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_YAML_READER_H_
