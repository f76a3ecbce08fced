#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "common/status.h"
#include "dht/records/record.h"

namespace shoal::dht {
namespace {

// Credentials by digest; the oldest goes when there is no room.
class CredentialCache {
 public:
  CredentialCache(WriterResolver inner, size_t capacity)
      : inner_(std::move(inner)), capacity_(capacity) {}

  absl::StatusOr<Writer> Resolve(const RecordBody& body, absl::Time now) {
    if (body.has_credential()) {
      SHOAL_ASSIGN_OR_RETURN(Writer writer, inner_(body, now));
      Remember(body.credential());
      return writer;
    }
    if (body.writer_case() != RecordBody::kCredentialDigest)
      return inner_(body, now);
    RecordBody full = body;
    {
      std::lock_guard lock(mutex_);
      const auto it = credentials_.find(body.credential_digest());
      if (it == credentials_.end())
        return NotFound("unknown_credential",
                        "the writer's credential was not seen in full yet");
      *full.mutable_credential() = it->second;
    }
    return inner_(full, now);
  }

 private:
  void Remember(const records::v1::Credential& credential) {
    std::string digest = CredentialDigest(credential);
    std::lock_guard lock(mutex_);
    if (!credentials_.try_emplace(digest, credential).second) return;
    order_.push_back(std::move(digest));
    if (order_.size() > capacity_) {
      credentials_.erase(order_.front());
      order_.pop_front();
    }
  }

  const WriterResolver inner_;
  const size_t capacity_;
  std::mutex mutex_;
  std::unordered_map<std::string, records::v1::Credential> credentials_;
  std::deque<std::string> order_;
};

}  // namespace

WriterResolver CachingResolver(WriterResolver inner, size_t capacity) {
  auto cache = std::make_shared<CredentialCache>(std::move(inner), capacity);
  return [cache](const RecordBody& body, absl::Time now) {
    return cache->Resolve(body, now);
  };
}

}  // namespace shoal::dht
