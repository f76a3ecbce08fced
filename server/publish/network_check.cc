#include "server/publish/network_check.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "shoal/records/v1/payloads.pb.h"

namespace shoal::server {
namespace {

constexpr int kEmptyLooks = 3;

// Shared with callbacks, which may come after the look's end.
struct Found {
  std::mutex mutex;
  std::condition_variable all;
  size_t waiting = 0;
  std::vector<std::string> timestamps;
};

// Whoever wrote it: a timestamp counts by its own signature.
void AddTimestamps(const dht::RecordBody& body, std::vector<std::string>& out) {
  records::v1::Head head;
  records::v1::LogWitness witness;
  if (body.kind() == records::v1::RECORD_KIND_HEAD &&
      head.ParseFromString(body.payload())) {
    out.push_back(head.timestamp());
  } else if (body.kind() == records::v1::RECORD_KIND_LOG_WITNESS &&
             witness.ParseFromString(body.payload())) {
    out.push_back(witness.timestamp());
    out.push_back(witness.contradicts());
  } else if (body.kind() == records::v1::RECORD_KIND_METADATA) {
    out.push_back(body.payload());
  }
}

}  // namespace

absl::StatusOr<NetworkCheck::Answer> NetworkCheck::Look(
    absl::Duration timeout) {
  const auto view = trust_.View();
  // The heads that were pushed, what members say that they have seen, and the
  // next timestamps themselves.
  std::vector<std::string> at;
  for (const std::string& type : view->device_types)
    at.push_back(places_.Head(type));
  for (uint32_t shard = 0; shard < dht::kLogWitnessShards; ++shard)
    at.push_back(places_.LogWitness(shard));
  const uint64_t own = view->versions.at("timestamp");
  for (const uint64_t version : {own, own + 1})
    at.push_back(places_.Metadata("timestamp", version));

  const auto found = std::make_shared<Found>();
  found->waiting = at.size();
  for (std::string& place : at) {
    reader_.get(std::move(place), timeout,
                [found](const std::vector<dht::VerifiedRecord>& records) {
                  std::lock_guard lock(found->mutex);
                  for (const dht::VerifiedRecord& record : records)
                    AddTimestamps(record.body, found->timestamps);
                  if (--found->waiting == 0) found->all.notify_one();
                });
  }
  std::vector<std::string> timestamps;
  {
    std::unique_lock lock(found->mutex);
    found->all.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                        [&] { return found->waiting == 0; });
    timestamps = found->timestamps;
  }
  SHOAL_ASSIGN_OR_RETURN(const bool newer, trust_.CheckPast(timestamps));
  if (timestamps.empty() &&
      (reader_.connected() == 0 || ++empty_looks_ < kEmptyLooks))
    return Answer::kNobody;
  return newer ? Answer::kNewer : Answer::kPast;
}

}  // namespace shoal::server
