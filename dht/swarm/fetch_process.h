// Downloads and seeds artifacts through one child process, shoal-fetch, which
// parses what strangers send and therefore holds no secret and no privilege.
// A thread of this object starts the child, starts it again when it dies
// (after 50 ms, doubling to 5 s while it dies young) and gives it all
// unfinished work again: what is on disk is checked and kept, so killing the
// child at any moment costs time and nothing else.
//
//   SHOAL_ASSIGN_OR_RETURN(auto fetch, FetchProcess::Open({.program = …}));
//   fetch->Fetch(job, on_progress, [](absl::StatusOr<FetchResult> r) { … });
//
// Sources are tried in this order: peers as long as they deliver; when nothing
// came for `stall_timeout`, or the rate over the last 10 s fell below
// `min_bytes_per_second`, the origins one after the other (each under the same
// rule, each resumed by range requests); then peers again, and so on until the
// deadline. Blocks from peers are verified against the file root before they
// are kept (BEP 52); bytes from an origin count only once the SHA-256 of the
// whole file matched. Success is reported only after that check.
//
// The child is the less trusted side: a caller that acts on the bytes verifies
// them again as it reads (the agent does while it patches and installs).
//
// Thread-safe. Callbacks run on the object's own thread, one at a time; they
// may call any method but must not block. None runs after the destructor
// returned. The destructor drops unfinished jobs without a callback.
#ifndef SHOAL_DHT_SWARM_FETCH_PROCESS_H_
#define SHOAL_DHT_SWARM_FETCH_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/swarm/artifact.h"

namespace shoal::dht {

struct FetchLimits {
  int64_t upload_bytes_per_second = 0;    // 0: no cap
  int64_t download_bytes_per_second = 0;  // 0: no cap; peers and origins each
  // False on a metered link: nothing is uploaded; downloads and the requests
  // they need go on.
  bool allow_upload = true;
};

struct FetchOptions {
  std::string program;  // path of shoal-fetch
  // "ip:port" where peers may connect; port 0 is chosen once and kept when
  // the child is started again. Empty: nobody may connect (dial only).
  std::string listen = "127.0.0.1:0";
  // A directory of the child's own, made if missing: small files with the
  // hash trees of unfinished downloads. Losing it costs only time.
  std::string state_dir;
  FetchLimits limits;
  absl::Duration stall_timeout = absl::Seconds(3);  // 100 ms … 10 min
  int64_t min_bytes_per_second = 1024;              // 0: no lower bound
  // The certificate authorities for https origins; empty: the system's.
  std::string ca_file;
  // When the caller is root: the child becomes this user and group. All
  // output files and state_dir must be writable for it.
  std::optional<uid_t> user;
  std::optional<gid_t> group;
};

struct FetchJob {
  std::string id;  // IsIdentifier, unique among running jobs
  Artifact artifact;
  // Absolute path. May hold part of the file already: what verifies is kept.
  // The file is made with mode 0600 and is complete only when `done` says so.
  std::string output_path;
  std::vector<std::string> peers;        // "ip:port", "[v6]:port"; at most 200
  std::vector<std::string> origin_urls;  // http(s) URLs of the bytes; ≤ 16
  // From the moment of Fetch() on; also counts while the child is restarted.
  absl::Duration deadline = absl::Hours(1);
  // For bytes that have a substitute: ends with "no_source" when sources answer
  // and none has sent a byte this long after the first answer (a peer that
  // connected, an origin that said no). At least 1 ms; silence doesn't count.
  absl::Duration first_byte = absl::InfiniteDuration();
  // Go on serving the finished file until StopSeeding(sha256). The file must
  // then stay as it is. When false the last peers must find another source.
  bool seed_afterwards = false;
};

struct FetchResult {
  uint64_t bytes_from_peers = 0;  // payload, including what failed the check
  uint64_t bytes_from_origin = 0;
  // Of the file's length, what needed no transfer (an estimate after a
  // restart of the child, whose last bytes are not counted).
  uint64_t bytes_resumed = 0;
  uint64_t bytes_discarded = 0;  // failed their check (any source)
};

struct SeedJob {
  Artifact artifact;
  std::string path;  // absolute; checked in full before one byte is served
};

// Bytes in the output that are verified, or come from an origin and are not
// refuted yet; may fall when an origin turns out to lie.
using ProgressCallback = std::function<void(uint64_t bytes)>;
// Errors: kDeadlineExceeded "no_source" (no source delivered the file until
// the deadline), kDataLoss "hash_mismatch" (the deadline came, and at least
// one source gave wrong bytes), kCancelled "cancelled", kResourceExhausted
// "disk_full" and other "io_…" of the output file, kInvalidArgument
// "bad_artifact", "bad_job".
using DoneCallback = std::function<void(absl::StatusOr<FetchResult>)>;
using SeedCallback = std::function<void(absl::Status)>;
using DocumentCallback = std::function<void(absl::StatusOr<std::string>)>;

struct FetchStatus {
  pid_t child = -1;  // -1 between two children
  int restarts = 0;
  int jobs = 0;
  int seeds = 0;          // verified and served
  uint64_t uploaded = 0;  // payload bytes since the child's start
};

class FetchProcess {
 public:
  // Starts the child and waits until it listens. kNotFound "io_not_found"
  // without the program, kUnavailable "fetch_start" when it does not come up
  // within 10 s (20 s under load).
  static absl::StatusOr<std::unique_ptr<FetchProcess>> Open(
      FetchOptions options);
  ~FetchProcess();  // ends the child
  FetchProcess(const FetchProcess&) = delete;
  FetchProcess& operator=(const FetchProcess&) = delete;

  // "ip:port" with the real port, for provider records; "" without listening.
  std::string swarm_address() const;

  // Fails only on an invalid job: "bad_job", "bad_artifact", "bad_address",
  // "bad_url", and kAlreadyExists "duplicate_job" (the id) or
  // "duplicate_artifact" (in transfer or seeded already, by its SHA-256). All
  // else comes through `done`, once.
  absl::Status Fetch(FetchJob job, ProgressCallback progress,
                     DoneCallback done);
  // More peers for a job; unknown ids are ignored (the job may just be done).
  void AddPeers(const std::string& id, std::vector<std::string> peers);
  // `done` gets "cancelled"; the partial file stays. Unknown: ignored.
  void Cancel(const std::string& id);

  // Serves a local file. The callback (may be null) says when it is verified
  // and served, or kDataLoss "hash_mismatch", kNotFound "io_not_found", …; it
  // is called once, not again after a restart of the child. An artifact that
  // is seeded already: the new path replaces the old one. One that a job
  // transfers at this moment: kAlreadyExists "duplicate_artifact".
  absl::Status Seed(SeedJob job, SeedCallback callback);
  void StopSeeding(const std::string& sha256);

  // The first of `urls` that gives at most `max_bytes` (1 … 64 MiB) within
  // `timeout` (each under the stall rule) and, when given, the SHA-256 (32
  // bytes). Errors: kResourceExhausted "document_too_large", kDataLoss
  // "hash_mismatch"; "no_source": kNotFound when every origin that answered
  // says that there is none (404, 410), kUnavailable when none answered or one
  // failed otherwise, kDeadlineExceeded when the time was over. Not repeated
  // after the child died: kUnavailable "fetch_restarted".
  void FetchDocument(std::vector<std::string> urls, uint64_t max_bytes,
                     std::optional<std::string> sha256, absl::Duration timeout,
                     DocumentCallback callback);
  void FetchDocument(std::vector<std::string> urls, uint64_t max_bytes,
                     std::optional<std::string> sha256,
                     DocumentCallback callback) {
    FetchDocument(std::move(urls), max_bytes, std::move(sha256),
                  absl::Seconds(30), std::move(callback));
  }

  // Takes effect at once, also for running jobs.
  void SetLimits(const FetchLimits& limits);

  FetchStatus Status() const;

 private:
  struct Impl;
  explicit FetchProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_PROCESS_H_
