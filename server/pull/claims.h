// Who is taking in which record at this moment. All nodes send the same records
// at about the same time; each is verified by the reader that claims it first,
// and the others wait until that one has stored it.
#ifndef SHOAL_SERVER_PULL_CLAIMS_H_
#define SHOAL_SERVER_PULL_CLAIMS_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace shoal::server {

// Thread-safe. Whoever holds claims must not Wait.
class Claims {
 public:
  // What one thread has claimed; released at the end. One thread.
  class Held {
   public:
    explicit Held(Claims& claims) : claims_(claims) {}
    ~Held() { claims_.Release(digests_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    // False: it is claimed already, by somebody else or by the caller.
    bool Claim(const std::string& digest);

   private:
    Claims& claims_;
    std::vector<std::string> digests_;
  };

  // Until none of them is claimed any more, if only for a moment.
  void Wait(const std::vector<std::string>& digests);

 private:
  void Release(const std::vector<std::string>& digests);

  std::mutex mutex_;
  std::condition_variable released_;
  std::unordered_set<std::string> held_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PULL_CLAIMS_H_
