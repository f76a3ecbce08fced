// Telemetry: what the device measures about itself, in numbered batches,
// sealed to the fleet's telemetry key.
#ifndef SHOAL_AGENT_LINK_TELEMETRY_H_
#define SHOAL_AGENT_LINK_TELEMETRY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/link/record_out.h"
#include "agent/link/trust.h"
#include "common/files.h"

namespace shoal::agent {

// "cpu.load1", "mem.available_bytes", "disk.free_bytes" (of `directory`), and
// "temp.celsius" where the kernel has a thermal zone. What can't be read is
// left out.
std::vector<records::v1::Sample> Measure(const std::string& directory,
                                         absl::Time now);

// Numbers batches from 1 without gaps or repeats, across power loss: the
// signed batch is on disk together with its number before it is handed over,
// and handed over again at the next start. One thread.
class TelemetrySender {
 public:
  // `path`: a file of its own. "bad_state" when it is damaged.
  static absl::StatusOr<std::unique_ptr<TelemetrySender>> Open(
      FileSystem& fs, const std::string& path, const dht::PlaceNamer* places,
      RecordOut* out);

  // Sends the samples as the next batch, or an error and nothing is used up:
  // "no_telemetry_key", "spool_full", the file system's.
  absl::Status Send(const std::vector<records::v1::Sample>& samples,
                    const TrustView& trust);
  uint64_t sequence() const { return sequence_; }

 private:
  TelemetrySender(FileSystem& fs, std::string path,
                  const dht::PlaceNamer* places, RecordOut* out)
      : fs_(fs), path_(std::move(path)), places_(places), out_(out) {}
  absl::Status HandOver(const TrustView& trust);

  FileSystem& fs_;
  const std::string path_;
  const dht::PlaceNamer* places_;
  RecordOut* out_;
  uint64_t sequence_ = 0;  // of `pending_`, or of the last one handed over
  std::string pending_;    // signed, on disk, not in the spool yet
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_TELEMETRY_H_
