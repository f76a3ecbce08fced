#include "agent/link/record_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace shoal::agent {

bool RecordQueue::Push(const dht::VerifiedRecord& record) {
  if (record.body.kind() == records::v1::RECORD_KIND_HALT) {
    if (halts_.size() >= kMaxHalts) return false;
    halts_.push_back(record);
    return true;
  }
  const bool head = record.body.kind() == records::v1::RECORD_KIND_HEAD;
  std::deque<dht::VerifiedRecord>& queue = head ? heads_ : others_;
  if (head)
    std::erase_if(heads_, [&](const dht::VerifiedRecord& other) {
      return other.writer.public_key == record.writer.public_key;
    });
  const bool full = queue.size() >= (head ? kMaxHeads : kMaxOthers);
  if (full) queue.pop_front();
  queue.push_back(record);
  return !full;
}

std::vector<dht::VerifiedRecord> RecordQueue::Take() {
  std::vector<dht::VerifiedRecord> all;
  for (auto* queue : {&halts_, &others_, &heads_}) {
    std::move(queue->begin(), queue->end(), std::back_inserter(all));
    queue->clear();
  }
  return all;
}

}  // namespace shoal::agent
