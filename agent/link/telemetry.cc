#include "agent/link/telemetry.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include <fstream>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

constexpr uint32_t kStream = 1;
constexpr absl::Duration kLifetime = absl::Hours(24 * 7);

void Add(std::vector<records::v1::Sample>& samples, absl::Time now,
         const char* name, double value) {
  records::v1::Sample sample;
  sample.set_time(absl::ToUnixMillis(now));
  sample.set_name(name);
  sample.set_number(value);
  samples.push_back(std::move(sample));
}

}  // namespace

std::vector<records::v1::Sample> Measure(const std::string& directory,
                                         absl::Time now) {
  std::vector<records::v1::Sample> samples;
  double load = 0;
  if (::getloadavg(&load, 1) == 1) Add(samples, now, "cpu.load1", load);
  std::ifstream memory("/proc/meminfo");
  std::string key;
  double value = 0;
  std::string unit;
  while (memory >> key >> value) {
    std::getline(memory, unit);
    if (key == "MemAvailable:") {
      Add(samples, now, "mem.available_bytes", value * 1024);
      break;
    }
  }
  struct statvfs disk {};
  if (::statvfs(directory.c_str(), &disk) == 0)
    Add(samples, now, "disk.free_bytes",
        static_cast<double>(disk.f_bavail) *
            static_cast<double>(disk.f_frsize));
  std::ifstream thermal("/sys/class/thermal/thermal_zone0/temp");
  if (thermal >> value) Add(samples, now, "temp.celsius", value / 1000);
  return samples;
}

absl::StatusOr<std::unique_ptr<TelemetrySender>> TelemetrySender::Open(
    FileSystem& fs, const std::string& path, const dht::PlaceNamer* places,
    RecordOut* out) {
  auto sender = std::unique_ptr<TelemetrySender>(
      new TelemetrySender(fs, path, places, out));
  if (fs.Exists(path)) {
    // 8 bytes sequence, then the record.
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes, fs.Read(path, 64 * 1024));
    if (bytes.size() < 8)
      return DataLoss("bad_state", fmt::format("{} is damaged", path));
    sender->sequence_ = ReadBigEndian(bytes, 8);
    sender->pending_ = bytes.substr(8);
  }
  return sender;
}

absl::Status TelemetrySender::HandOver(const TrustView& trust) {
  if (pending_.empty()) return absl::OkStatus();
  // The spool may have signed it again before the restart, to the same bytes.
  if (auto revived =
          out_->Revive(pending_, trust.trust, out_->clock()->WallNow()))
    pending_ = *std::move(revived);
  // Again after a restart: the same bytes, which everybody knows by digest.
  const absl::Status added = out_->spool()->Add(pending_);
  // After long off the batch may have run out: nobody would take it any more.
  if (!added.ok() && !absl::IsInvalidArgument(added) &&
      !absl::IsFailedPrecondition(added))
    return added;
  pending_.clear();
  return absl::OkStatus();
}

absl::Status TelemetrySender::Send(
    const std::vector<records::v1::Sample>& samples, const TrustView& trust) {
  SHOAL_RETURN_IF_ERROR(HandOver(trust));
  if (trust.trust.telemetry_key.empty())
    return FailedPrecondition("no_telemetry_key",
                              "the fleet names no telemetry key");
  const std::string& device_id = out_->membership().device_id();
  records::v1::TelemetryBatch batch;
  batch.set_device_id(device_id);
  batch.set_stream(kStream);
  batch.set_sequence(sequence_ + 1);
  for (const records::v1::Sample& sample : samples)
    *batch.add_samples() = sample;
  SHOAL_ASSIGN_OR_RETURN(
      std::string sealed,
      crypto::SealTo(trust.trust.telemetry_key, batch.SerializeAsString()));
  const std::string record =
      out_->Sign(records::v1::RECORD_KIND_TELEMETRY,
                 places_->Telemetry(device_id, kStream), sequence_ + 1,
                 std::move(sealed), out_->clock()->WallNow(), kLifetime);
  std::string kept;
  AppendBigEndian(kept, sequence_ + 1, 8);
  kept += record;
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path_, kept, 0600));
  ++sequence_;
  pending_ = record;
  return HandOver(trust);
}

}  // namespace shoal::agent
