#include "server/fleet/telemetry.h"

#include <deque>
#include <vector>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"

namespace shoal::server {

bool AddSequence(store::StreamRow& row, uint64_t sequence) {
  auto* ranges = row.mutable_arrived();
  // From the end: telemetry mostly arrives in order.
  int at = ranges->size();
  while (at > 0 && ranges->Get(at - 1).from() > sequence) --at;
  store::StreamRow::Range* before = at > 0 ? ranges->Mutable(at - 1) : nullptr;
  store::StreamRow::Range* next =
      at < ranges->size() ? ranges->Mutable(at) : nullptr;
  if (before != nullptr && sequence <= before->to()) return false;
  const bool joins_before = before != nullptr && before->to() + 1 == sequence;
  const bool joins_next = next != nullptr && sequence + 1 == next->from();
  if (joins_before && joins_next) {
    before->set_to(next->to());
    ranges->DeleteSubrange(at, 1);
  } else if (joins_before) {
    before->set_to(sequence);
  } else if (joins_next) {
    next->set_from(sequence);
  } else {
    auto* added = ranges->Add();
    added->set_from(sequence);
    added->set_to(sequence);
    for (int i = ranges->size() - 1; i > at; --i)
      ranges->SwapElements(i, i - 1);
  }
  row.set_batches(row.batches() + 1);
  return true;
}

absl::Status Telemetry::OnRecord(Transaction& tx,
                                 const dht::VerifiedRecord& record) {
  const std::string device = HexEncode(record.writer.id);
  const auto drop = [&](std::string_view reason) {
    LogWarn("telemetry_dropped", {{"device", device}, {"reason", reason}});
    return absl::OkStatus();
  };
  auto plain = key_.Open(record.body.payload());
  if (!plain.ok()) return drop(ReasonOf(plain.status()));
  records::v1::TelemetryBatch batch;
  if (!batch.ParseFromString(*plain)) return drop("bad_batch");
  if (batch.device_id() != record.writer.id ||
      batch.sequence() != record.body.version() || batch.sequence() == 0) {
    return drop("batch_not_of_record");
  }
  const std::string stream_key = fmt::format("{}/{}", device, batch.stream());
  store::StreamRow stream;
  auto existing = tx.Get<store::StreamRow>(kStreams, stream_key);
  if (existing.ok()) {
    stream = *std::move(existing);
  } else if (!absl::IsNotFound(existing.status())) {
    return existing.status();
  }
  // Other bytes under a number that arrived: the first is kept (T41).
  if (!AddSequence(stream, batch.sequence())) return drop("sequence_reused");
  SHOAL_ASSIGN_OR_RETURN(uint64_t cursor, tx.NextSequence(kTelemetry));
  store::TelemetryRow row;
  row.set_device_id(batch.device_id());
  row.set_stream(batch.stream());
  row.set_sequence(batch.sequence());
  row.set_batch(*plain);
  tx.Put(kTelemetry, SequenceKey(cursor), row);
  tx.Put(kStreams, stream_key, stream);
  return absl::OkStatus();
}

absl::Status Telemetry::Read(
    uint64_t after, const std::string& device,
    std::function<bool(const telemetry::v1::TailTelemetryResponse&)> visit)
    const {
  return store_.Scan<store::TelemetryRow>(
      kTelemetry, "", after == 0 ? "" : SequenceKey(after),
      [&](std::string_view key, const store::TelemetryRow& row) {
        if (!device.empty() && row.device_id() != device) return true;
        telemetry::v1::TailTelemetryResponse response;
        response.set_cursor(ReadBigEndian(key, 8));
        response.set_device("devices/" + HexEncode(row.device_id()));
        response.set_stream(row.stream());
        response.set_sequence(row.sequence());
        records::v1::TelemetryBatch batch;
        if (batch.ParseFromString(row.batch())) {
          *response.mutable_samples() = batch.samples();
        }
        return visit(response);
      });
}

absl::StatusOr<uint64_t> Telemetry::CursorOfLast(
    uint32_t last, const std::string& device) const {
  // The cursor before each of the newest `last` batches.
  std::deque<uint64_t> before;
  uint64_t previous = 0;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::TelemetryRow>(
      kTelemetry, "", "",
      [&](std::string_view key, const store::TelemetryRow& row) {
        if (device.empty() || row.device_id() == device) {
          before.push_back(previous);
          if (before.size() > last) before.pop_front();
        }
        previous = ReadBigEndian(key, 8);
        return true;
      }));
  return before.empty() ? 0 : before.front();
}

absl::StatusOr<telemetry::v1::GetTelemetryStatusResponse> Telemetry::Status()
    const {
  telemetry::v1::GetTelemetryStatusResponse response;
  std::map<std::string, uint64_t> kept;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::TelemetryRow>(
      kTelemetry, "", "",
      [&](std::string_view, const store::TelemetryRow& row) {
        ++kept[fmt::format("{}/{}", HexEncode(row.device_id()), row.stream())];
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::StreamRow>(
      kStreams, "", "", [&](std::string_view key, const store::StreamRow& row) {
        telemetry::v1::StreamStatus& status = *response.add_streams();
        const size_t slash = key.find('/');
        status.set_device("devices/" + std::string(key.substr(0, slash)));
        status.set_stream(static_cast<uint32_t>(
            std::stoul(std::string(key.substr(slash + 1)))));
        status.set_batches(kept[std::string(key)]);
        uint64_t distinct = 0;
        for (const auto& range : row.arrived()) {
          distinct += range.to() - range.from() + 1;
          status.set_highest_sequence(range.to());
        }
        status.set_missing(status.highest_sequence() - distinct);
        // Counted against the rows that are really there, so a defect shows.
        if (status.batches() > distinct) {
          status.set_duplicates(status.batches() - distinct);
        }
        return true;
      }));
  return response;
}

}  // namespace shoal::server
