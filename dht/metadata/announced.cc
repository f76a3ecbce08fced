#include "dht/metadata/announced.h"

#include <algorithm>
#include <cstdint>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "signing/metadata/metadata.h"

namespace shoal::dht {

std::vector<std::string> TimestampsOf(const std::vector<VerifiedRecord>& heads,
                                      const Plausible& plausible) {
  std::map<uint64_t, std::vector<std::string>> by_version;
  for (const VerifiedRecord& record : heads) {
    records::v1::Head head;
    if (record.body.kind() != records::v1::RECORD_KIND_HEAD ||
        !head.ParseFromString(record.body.payload()) ||
        head.timestamp().empty() ||
        (plausible &&
         !plausible("timestamp", std::nullopt, head.timestamp()).ok()))
      continue;
    const auto parsed = signing::ParseTimestamp(head.timestamp());
    if (!parsed.ok()) continue;
    auto& equal = by_version[parsed->value.version];
    if (std::find(equal.begin(), equal.end(), head.timestamp()) == equal.end())
      equal.push_back(std::move(*head.mutable_timestamp()));
  }
  std::vector<std::string> newest_first;
  for (auto it = by_version.rbegin(); it != by_version.rend(); ++it)
    std::move(it->second.begin(), it->second.end(),
              std::back_inserter(newest_first));
  return newest_first;
}

std::vector<std::string> AnnouncedTimestamps(
    Network& network, const PlaceNamer& places,
    const std::vector<std::string>& device_types, const Plausible& plausible,
    absl::Duration timeout) {
  using Records = std::vector<VerifiedRecord>;
  std::vector<std::future<Records>> answers;
  for (const std::string& type : device_types) {
    auto answer = std::make_shared<std::promise<Records>>();
    answers.push_back(answer->get_future());
    network.Get(places.Head(type), timeout, [answer](Records found) {
      answer->set_value(std::move(found));
    });
  }
  Records heads;
  for (std::future<Records>& answer : answers) {
    Records found = answer.get();
    std::move(found.begin(), found.end(), std::back_inserter(heads));
  }
  return TimestampsOf(heads, plausible);
}

}  // namespace shoal::dht
