#include "sim/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_split.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::sim {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), separator);
}

// The number that `text` begins with; what follows it goes to `rest`.
bool Number(std::string_view text, double& value, std::string_view& rest) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return false;
  rest = text.substr(static_cast<size_t>(end - text.data()));
  return true;
}

absl::Status BadOptions(std::string_view what) {
  return InvalidArgument("bad_options", what);
}

}  // namespace

absl::StatusOr<std::vector<LinkClass>> ParseLinks(std::string_view text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"bit", 0.125}, {"kbit", 125}, {"mbit", 125e3}, {"gbit", 125e6},
      {"B", 1},       {"kB", 1e3},   {"MB", 1e6},     {"GB", 1e9}};
  std::vector<LinkClass> links;
  for (const std::string& part : Split(text, ',')) {
    const auto bad = [&] {
      return InvalidArgument(
          "bad_links",
          fmt::format("'{}' is not SPEED[:SHARE], as in 2mbit:3", part));
    };
    LinkClass link;
    std::string_view rest;
    if (!Number(part, link.bytes_per_second, rest)) return bad();
    const size_t colon = rest.find(':');
    const std::string_view unit = rest.substr(0, colon);
    const auto* found =
        std::find_if(std::begin(kUnits), std::end(kUnits),
                     [&](const auto& one) { return one.first == unit; });
    if (found == std::end(kUnits)) return bad();
    link.bytes_per_second *= found->second;
    if (colon != std::string_view::npos &&
        (!Number(rest.substr(colon + 1), link.share, rest) || !rest.empty()))
      return bad();
    if (link.bytes_per_second <= 0 || link.share <= 0) return bad();
    links.push_back(link);
  }
  return links;
}

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  double value = 0;
  std::string_view unit;
  static constexpr std::string_view kUnits = "kMG";
  const bool number = Number(text, value, unit);
  size_t power = 0;
  if (number && unit.size() == 1) power = kUnits.find(unit[0]) + 1;
  if (!number || unit.size() > 1 || (unit.size() == 1 && power == 0) ||
      value < 0 || value > 1e9)
    return InvalidArgument(
        "bad_size", fmt::format("'{}' is no size, as in 64M or 500k", text));
  return static_cast<uint64_t>(std::ldexp(value, 10 * static_cast<int>(power)));
}

absl::StatusOr<std::vector<double>> ParsePhases(std::string_view text) {
  std::vector<double> phases;
  for (const std::string& part : Split(text, ',')) {
    double percent = 0;
    std::string_view rest;
    if (!Number(part, percent, rest) || !rest.empty() || percent <= 0 ||
        percent > 100 || (!phases.empty() && percent <= phases.back()))
      return InvalidArgument(
          "bad_phases",
          fmt::format("'{}': percents grow from above 0 to 100", text));
    phases.push_back(percent);
  }
  if (phases.back() != 100 || phases.size() > 32)
    return InvalidArgument(
        "bad_phases",
        fmt::format("'{}': at most 32 phases, and the last is 100", text));
  return phases;
}

absl::Status Validate(const SimOptions& o) {
  const auto share = [](double value) { return value >= 0 && value <= 1; };
  if (o.devices < 1 || o.devices > 100'000)
    return BadOptions("--devices: 1 to 100,000");
  if (o.nodes < 1 || o.nodes > 16) return BadOptions("--nodes: 1 to 16");
  if (o.devices_per_socket < 1 || o.devices_per_socket > 2000)
    return BadOptions("--devices-per-socket: 1 to 2,000");
  if (o.threads < 1 || o.threads > 1024 || o.pairing_at_once < 1)
    return BadOptions("--threads: 1 to 1,024; --pairing-at-once: at least 1");
  if (!share(o.failing) || !share(o.offline))
    return BadOptions("--failing and --offline are shares, 0 to 1");
  if (o.gate_success < 0 || o.gate_success > 100 || o.gate_sample < 0 ||
      o.gate_sample > 100 || o.error_threshold < 0 || o.error_threshold > 100)
    return BadOptions("gates and thresholds are percents, 0 to 100");
  if (o.attempts < 1 || o.attempts > 10)
    return BadOptions("--attempts: 1 to 10");
  return absl::OkStatus();
}

std::string RolloutYaml(const SimOptions& o, const std::string& release,
                        const std::string& id) {
  std::string text = fmt::format("release: {}\nid: {}\nphases:\n", release, id);
  double before = 0;
  for (size_t i = 0; i < o.phases.size(); ++i) {
    text += fmt::format("  - name: p{}\n    percent: {}\n", i + 1, o.phases[i]);
    const double members = o.devices * (o.phases[i] - before) / 100;
    before = o.phases[i];
    if (i + 1 == o.phases.size()) break;
    text += fmt::format(
        "    gate: {{success: {}%, min: {}}}\n", o.gate_success,
        std::max<int64_t>(1, std::llround(members * o.gate_sample / 100)));
  }
  return text + fmt::format(
                    "error_threshold: {}%\nretry: {{attempts: {}, backoff: "
                    "5s}}\n",
                    o.error_threshold, o.attempts);
}

double Chance(uint64_t seed, uint64_t device, std::string_view what) {
  const std::string digest =
      crypto::Sha256Digest(fmt::format("{}/{}/{}", seed, device, what));
  uint64_t bits = 0;
  for (size_t i = 0; i < 7; ++i)
    bits = bits << 8 | static_cast<unsigned char>(digest[i]);
  return static_cast<double>(bits & ((uint64_t{1} << 53) - 1)) /
         static_cast<double>(uint64_t{1} << 53);
}

double LinkOf(const SimOptions& options, uint64_t device) {
  double sum = 0;
  for (const LinkClass& link : options.links) sum += link.share;
  double point = Chance(options.seed, device, "link") * sum;
  for (const LinkClass& link : options.links) {
    if (point < link.share) return link.bytes_per_second;
    point -= link.share;
  }
  return options.links.back().bytes_per_second;
}

}  // namespace shoal::sim
