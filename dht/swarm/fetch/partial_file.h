// The output of one download while it is unfinished: which pieces are there,
// which of them are verified, and the small file beside it (in the state
// directory) that remembers the former over a kill.
//
// A piece is *present* when its bytes were written, *trusted* when the swarm
// verified it against the file root in this run. What the small file says is
// present and untrusted: only Verify() over the whole file decides. One thread.
#ifndef SHOAL_DHT_SWARM_FETCH_PARTIAL_FILE_H_
#define SHOAL_DHT_SWARM_FETCH_PARTIAL_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "dht/swarm/artifact.h"

namespace shoal::dht {

class PartialFile {
 public:
  // Makes the file when it is missing; cuts what is beyond the length.
  static absl::StatusOr<std::unique_ptr<PartialFile>> Open(
      const Artifact& artifact, const std::string& path,
      const std::string& state_path);

  // True when there is reason to hash the whole file before any transfer.
  bool MayBeComplete() const { return may_be_complete_; }
  bool Complete() const { return present_count_ == present_.size(); }
  uint64_t PresentBytes() const;
  bool AllTrusted() const;

  // [begin, end) in bytes of the first run of missing pieces.
  struct Run {
    uint64_t begin = 0, end = 0;
  };
  std::optional<Run> FirstMissing() const;

  // What the swarm has verified. `replaced`: it also wrote to the file, so
  // that pieces it has not verified may be overwritten in part.
  void SetTrusted(const std::vector<bool>& have, bool replaced);

  // Writes bytes of a stream that stands at `offset`; bytes that belong to
  // present pieces are skipped. Pieces become present as they are completed
  // by consecutive calls.
  absl::Status Write(uint64_t offset, std::string_view bytes);

  // Writes the small file when something changed.
  absl::Status Save();
  void RemoveState();

  // Forgets all untrusted pieces; the number of bytes in them. When all are
  // trusted (metadata that contradicts itself): forgets all.
  uint64_t DiscardUntrusted();

  // Hashes the next slice; nullopt until the end, then whether the SHA-256 is
  // right. On true the content is on disk (fsync).
  absl::StatusOr<std::optional<bool>> VerifySlice();
  void RestartVerify();

 private:
  PartialFile(const Artifact& artifact, std::string state_path,
              FileDescriptor file);
  uint64_t PieceEnd(size_t piece) const;
  void MarkPresent(size_t piece);
  void LoadState(uint64_t size_on_disk);

  const Artifact artifact_;
  const std::string state_path_;
  FileDescriptor file_;
  std::vector<bool> present_;
  std::vector<bool> trusted_;
  size_t present_count_ = 0;
  bool may_be_complete_ = false;
  bool dirty_ = false;
  // Start of the consecutive bytes that Write() has put into the piece that
  // write_end_ is in.
  uint64_t write_begin_ = 0, write_end_ = 0;
  crypto::Sha256 hash_;
  uint64_t hashed_ = 0;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_PARTIAL_FILE_H_
