#include "agent/link/poll_pace.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "common/crypto/hash.h"

namespace shoal::agent {
namespace {

constexpr double kDeviation = 0.2;

// Not the rollouts' position: who comes first there must not ask first too.
double OwnShare(std::string_view device_id) {
  const std::string digest =
      crypto::Sha256Digest("shoal.poll.v1" + std::string(device_id));
  uint64_t bits = 0;
  for (size_t i = 0; i < 4; ++i)
    bits = bits << 8 | static_cast<uint8_t>(digest[i]);
  return static_cast<double>(bits) / (uint64_t{1} << 32);
}

}  // namespace

PollPace::PollPace(std::string_view device_id, absl::Duration interval,
                   Random random)
    : own_(OwnShare(device_id)), interval_(interval), random_(random) {}

double PollPace::Draw() {
  return std::uniform_real_distribution<double>(-1, 1)(random_);
}

void PollPace::Start(absl::Duration now, absl::Duration spread) {
  next_ = now + own_ * std::min(spread, interval_);
}

bool PollPace::Due(absl::Duration now) {
  if (now < next_) return false;
  next_ = now + interval_ * (1 + kDeviation * (own_ - 0.5 + 0.5 * Draw()));
  return true;
}

absl::Duration PollPace::Spread(absl::Duration duration) {
  return duration * (1 + kDeviation * Draw());
}

}  // namespace shoal::agent
