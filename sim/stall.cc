#include "sim/stall.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "common/bytes.h"

namespace shoal::sim {
namespace {

constexpr size_t kMaxGroups = 10;
constexpr size_t kMaxSockets = 12;

struct Group {
  size_t devices = 0;
  std::set<size_t> sockets;
  absl::Duration newest = absl::InfiniteDuration();  // ago
  absl::Duration oldest;
  std::string example;
};

std::string Quoted(const std::string& reason) {
  return reason.empty() ? "nothing" : "'" + reason + "'";
}

}  // namespace

std::vector<Knowledge> WhoseTurnItIs(const std::vector<Knowledge>& devices,
                                     const RolloutFacts& facts) {
  std::vector<Knowledge> result;
  for (const Knowledge& device : devices) {
    if (device.done || device.away || device.device_id.empty()) continue;
    const int phase = PhaseOf(facts, device.device_id);
    if (phase < 0 || phase > static_cast<int>(facts.document.open_phase()))
      continue;
    result.push_back(device);
  }
  return result;
}

std::vector<std::string> ExplainStall(const std::vector<Knowledge>& devices,
                                      const RolloutFacts& facts,
                                      absl::Duration now) {
  uint64_t newest = 0;  // timestamp that anybody has
  for (const Knowledge& device : devices)
    newest = std::max(newest, device.metadata_version);
  using Key = std::tuple<uint64_t, uint64_t, std::string, std::string>;
  std::map<Key, Group> groups;
  const std::vector<Knowledge> due = WhoseTurnItIs(devices, facts);
  for (const Knowledge& device : due) {
    Group& group = groups[{device.rollout_version, device.metadata_version,
                           device.metadata_trouble, device.waiting}];
    ++group.devices;
    group.sockets.insert(device.socket);
    group.newest = std::min(group.newest, now - device.looked_at);
    group.oldest = std::max(group.oldest, now - device.looked_at);
    group.example = HexEncode(device.device_id);
  }
  std::vector<std::string> lines;
  lines.push_back(fmt::format(
      "phase {} is open by version {} of the rollout; {} devices whose turn it "
      "is have reported nothing",
      facts.document.open_phase() + 1, facts.document.version(), due.size()));
  for (const auto& [key, group] : groups) {
    if (lines.size() > kMaxGroups) {
      lines.push_back(
          fmt::format("… and {} kinds more", groups.size() - kMaxGroups));
      break;
    }
    const auto& [rollout, metadata, trouble, waiting] = key;
    std::vector<size_t> sockets(group.sockets.begin(), group.sockets.end());
    const bool many = sockets.size() > kMaxSockets;
    if (many) sockets.resize(kMaxSockets);
    lines.push_back(fmt::format(
        "{} hold version {} of {} of the rollout, timestamp {} of {}; looked "
        "for more {:.0f} to {:.0f} s ago, in the way was {}; they say {}; "
        "sockets {}{}; one is {}",
        group.devices, rollout, facts.document.version(), metadata, newest,
        absl::ToDoubleSeconds(group.newest),
        absl::ToDoubleSeconds(group.oldest), Quoted(trouble), Quoted(waiting),
        fmt::join(sockets, ", "), many ? ", …" : "", group.example));
  }
  return lines;
}

}  // namespace shoal::sim
