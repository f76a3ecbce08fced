#include "dht/node/timestamp_candidates.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace shoal::dht::node {

bool TimestampCandidates::Add(uint64_t version, std::string_view timestamp,
                              std::string_view writer,
                              const Plausible& plausible) {
  for (const Candidate& one : waiting_)
    if (one.bytes == timestamp) return false;
  if (!MakeRoom(version, writer, plausible(timestamp), plausible)) return false;
  waiting_.push_back({version, std::string(timestamp), std::string(writer), 0});
  return true;
}

bool TimestampCandidates::MakeRoom(uint64_t version, std::string_view writer,
                                   bool seems_signed,
                                   const Plausible& plausible) {
  std::set<std::string_view> writers{writer};
  size_t alike = 0;
  auto lowest = waiting_.end();
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    writers.insert(it->writer);
    if (it->writer != writer || plausible(it->bytes) != seems_signed) continue;
    ++alike;
    if (lowest == waiting_.end() || it->version < lowest->version) lowest = it;
  }
  if (alike >= kMaxOfWriter) {
    if (lowest->version >= version) return false;
    waiting_.erase(lowest);
    return true;
  }
  if (writers.size() <= kMaxWriters && waiting_.size() < kMaxWaiting)
    return true;
  // As many directors as no fleet has: what nobody signed goes.
  const auto unsigned_one =
      std::find_if(waiting_.begin(), waiting_.end(),
                   [&](const Candidate& one) { return !plausible(one.bytes); });
  if (unsigned_one == waiting_.end()) return false;
  waiting_.erase(unsigned_one);
  return true;
}

std::vector<std::string> TimestampCandidates::OfVersion(
    uint64_t version) const {
  std::vector<std::string> found;
  for (const Candidate& one : waiting_)
    if (one.version == version) found.push_back(one.bytes);
  return found;
}

std::vector<std::string> TimestampCandidates::InOrder(
    const Plausible& plausible) const {
  std::vector<std::pair<bool, const Candidate*>> order;
  for (const Candidate& one : waiting_)
    order.emplace_back(plausible(one.bytes), &one);
  std::stable_sort(
      order.begin(), order.end(), [](const auto& a, const auto& b) {
        return std::tuple(a.first, -a.second->tries, a.second->version) >
               std::tuple(b.first, -b.second->tries, b.second->version);
      });
  std::vector<std::string> timestamps;
  for (const auto& [seems_signed, one] : order)
    timestamps.push_back(one->bytes);
  return timestamps;
}

int TimestampCandidates::Failed(std::string_view timestamp) {
  for (Candidate& one : waiting_)
    if (one.bytes == timestamp) return ++one.tries;
  return 0;
}

void TimestampCandidates::Drop(std::string_view timestamp) {
  std::erase_if(waiting_,
                [&](const Candidate& one) { return one.bytes == timestamp; });
}

void TimestampCandidates::DropUpTo(uint64_t version) {
  std::erase_if(waiting_,
                [&](const Candidate& one) { return one.version <= version; });
}

}  // namespace shoal::dht::node
