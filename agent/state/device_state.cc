#include "agent/state/device_state.h"

#include <fmt/format.h>

#include <charconv>

#include "common/status.h"

namespace shoal::agent {
namespace {
constexpr uint64_t kMaxJournalBytes = 4u << 20;
}

absl::StatusOr<std::unique_ptr<DeviceState>> DeviceState::Open(
    FileSystem& fs, const std::string& path) {
  auto state = std::unique_ptr<DeviceState>(new DeviceState(fs, path));
  if (fs.Exists(path)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string text,
                           fs.Read(path, kMaxJournalBytes));
    auto data = DecodeState(text);
    if (!data.ok()) return Annotate(data.status(), path);
    state->data_ = *std::move(data);
  }
  return state;
}

StateData DeviceState::Get() const {
  std::lock_guard lock(mutex_);
  return data_;
}

absl::Status DeviceState::Change(
    const std::function<void(StateData&)>& change) {
  std::lock_guard lock(mutex_);
  StateData next = data_;
  change(next);
  const std::string text = EncodeState(next);
  // What is remembered is what a restart would read, so that a report which is
  // signed again after power loss is the same to the bit.
  SHOAL_ASSIGN_OR_RETURN(next, DecodeState(text));
  if (text.size() > kMaxJournalBytes)
    return ResourceExhausted(
        "state_too_large",
        fmt::format("{} would have {} bytes, and could not be read again",
                    path_, text.size()));
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path_, text, 0600));
  data_ = std::move(next);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DurableCounter>> DurableCounter::Open(
    FileSystem& fs, const std::string& path) {
  uint64_t value = 0;
  if (fs.Exists(path)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(path, 64));
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end == text.data())
      return DataLoss("bad_state", fmt::format("{} holds no number", path));
  }
  return std::unique_ptr<DurableCounter>(new DurableCounter(fs, path, value));
}

absl::StatusOr<uint64_t> DurableCounter::Next() {
  SHOAL_RETURN_IF_ERROR(
      fs_.WriteAtomic(path_, fmt::format("{}\n", value_ + 1), 0600));
  return ++value_;
}

}  // namespace shoal::agent
