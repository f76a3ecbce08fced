#include "server/fleet/running_images.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"

namespace shoal::server {
namespace {

constexpr uint64_t kMemoryStep = 64u << 10;
// From here on a delta of the maker's own choice always fits.
constexpr uint64_t kMostSteps = 256;
constexpr uint64_t kUnsaid = 0xffff;
constexpr size_t kHex = 64;
constexpr size_t kTail = 3;  // formats and memory

void AppendTools(std::string& key, const rules::DeltaTools& tools) {
  if (tools == rules::DeltaTools()) return;
  AppendBigEndian(key, tools.model, 4);
  for (const std::string& codec : tools.codecs) {
    key += codec;
    key.push_back('\0');
  }
}

bool TakeTools(std::string_view bytes, rules::DeltaTools& tools) {
  if (bytes.empty()) return true;
  if (bytes.size() < 4) return false;
  tools.model = static_cast<uint32_t>(ReadBigEndian(bytes, 4));
  bytes.remove_prefix(4);
  while (!bytes.empty()) {
    const size_t end = bytes.find('\0');
    if (end == bytes.npos) return false;
    tools.codecs.emplace(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
  return true;
}

// "": the device counts for nothing here.
std::string KeyOf(const store::DeviceRow* row) {
  if (row == nullptr ||
      row->device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED ||
      row->device().running_sha256().size() != kHex ||
      row->device().device_type().empty())
    return "";
  const auto& inventory = row->device().inventory();
  const rules::DeltaAbilities abilities =
      rules::ReadDeltaAbilities({inventory.begin(), inventory.end()});
  std::string key = row->device().device_type();
  key.push_back('\0');
  key += row->device().running_sha256();
  key.push_back('\0');
  key.push_back(static_cast<char>((abilities.sdelta1 ? 1 : 0) |
                                  (abilities.bsdiff40 ? 2 : 0)));
  AppendBigEndian(key,
                  abilities.memory
                      ? std::min(*abilities.memory / kMemoryStep, kMostSteps)
                      : kUnsaid,
                  2);
  AppendTools(key, abilities.tools);
  return key;
}

absl::Status Add(Transaction& tx, const std::string& key, int64_t change) {
  SHOAL_ASSIGN_OR_RETURN(const auto stored, tx.GetRaw(kRunning, key));
  const uint64_t before = stored ? ReadBigEndian(*stored, 8) : 0;
  const uint64_t after = before + static_cast<uint64_t>(change);
  if (change < 0 && before == 0) {
    // It says which deltas are worth making; no device's word waits for it.
    LogError("running_images_miscounted", {{"reason", "bad_row"}});
    return absl::OkStatus();
  }
  if (after == 0) {
    tx.Delete(kRunning, key);
  } else {
    tx.PutRaw(kRunning, key, SequenceKey(after));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CountRunningImage(Transaction& tx, const store::DeviceRow* old,
                               const store::DeviceRow* next) {
  const std::string before = KeyOf(old);
  const std::string after = KeyOf(next);
  if (before == after) return absl::OkStatus();
  if (!before.empty()) SHOAL_RETURN_IF_ERROR(Add(tx, before, -1));
  return after.empty() ? absl::OkStatus() : Add(tx, after, 1);
}

absl::Status RecountRunningImages(Transaction& tx) {
  std::vector<std::string> old;
  SHOAL_RETURN_IF_ERROR(tx.store().ScanRaw(
      kRunning, "", "", [&](std::string_view key, std::string_view) {
        old.emplace_back(key);
        return true;
      }));
  for (const std::string& key : old) tx.Delete(kRunning, key);
  std::map<std::string, uint64_t> counts;
  SHOAL_RETURN_IF_ERROR(tx.store().Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        if (const std::string key = KeyOf(&row); !key.empty()) ++counts[key];
        return true;
      }));
  for (const auto& [key, count] : counts)
    tx.PutRaw(kRunning, key, SequenceKey(count));
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, RunningDevices>> RunningImages(
    const Store& store, const std::string& device_type) {
  std::map<std::string, RunningDevices> images;
  std::string prefix = device_type;
  prefix.push_back('\0');
  bool whole = true;
  SHOAL_RETURN_IF_ERROR(store.ScanRaw(
      kRunning, prefix, "", [&](std::string_view key, std::string_view count) {
        whole =
            key.size() >= prefix.size() + kHex + 1 + kTail && count.size() == 8;
        if (!whole) return false;
        const std::string sha256(key.substr(prefix.size(), kHex));
        const std::string_view tail = key.substr(prefix.size() + kHex + 1);
        rules::CountedAbilities entry;
        entry.abilities.sdelta1 = (tail[0] & 1) != 0;
        entry.abilities.bsdiff40 = (tail[0] & 2) != 0;
        if (const uint64_t steps = ReadBigEndian(tail.substr(1), 2);
            steps != kUnsaid)
          entry.abilities.memory = steps * kMemoryStep;
        whole = TakeTools(tail.substr(kTail), entry.abilities.tools);
        if (!whole) return false;
        entry.devices = ReadBigEndian(count, 8);
        RunningDevices& devices = images[sha256];
        devices.devices += entry.devices;
        devices.abilities.push_back(std::move(entry));
        return true;
      }));
  if (!whole)
    return DataLoss("bad_row", "the count of running images is damaged");
  return images;
}

}  // namespace shoal::server
