// One TOML file per daemon. Every key must be asked for: Finish() reports
// what nobody asked for, so a misspelt key is an error and never ignored.
//
//   SHOAL_ASSIGN_OR_RETURN(Config config, Config::Load(path));
//   options.listen = config.String("api.listen", "127.0.0.1:0");
//   SHOAL_RETURN_IF_ERROR(config.Finish());
//
// Not thread-safe. Wrong types and bad values are collected and reported by
// Finish() together, each with its key and line.
#ifndef SHOAL_COMMON_CONFIG_H_
#define SHOAL_COMMON_CONFIG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal {

class Config {
 public:
  // Reads at most 1 MiB. kInvalidArgument "bad_config" with line and column.
  static absl::StatusOr<Config> Load(const std::string& path);
  static absl::StatusOr<Config> Parse(std::string_view text,
                                      const std::string& name = "config");
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  // `key` is dotted: "api.listen". Without the key: the default.
  std::string String(std::string_view key, std::string_view default_value = "");
  int64_t Integer(std::string_view key, int64_t default_value, int64_t min,
                  int64_t max);
  double Number(std::string_view key, double default_value);
  bool Boolean(std::string_view key, bool default_value);
  // "1500ms", "30s", "15m", "24h" as absl::ParseDuration reads them.
  absl::Duration Duration(std::string_view key, absl::Duration default_value);
  std::vector<std::string> Strings(std::string_view key);
  // The sub-keys of a table, sorted: {"a", "b"} for [x.a] and [x.b].
  std::vector<std::string> Tables(std::string_view key);
  // The same as String, and Finish() fails when it is missing or empty.
  std::string RequiredString(std::string_view key);
  // Relative paths count from the config file's directory.
  std::string Path(std::string_view key, std::string_view default_value = "");

  // kInvalidArgument "bad_config": all problems, one a line.
  absl::Status Finish();

 private:
  struct Impl;
  explicit Config(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal

#endif  // SHOAL_COMMON_CONFIG_H_
