// A device's place in a rollout: stable, uniform, and verifiable by everybody
// who knows both ids.
#ifndef SHOAL_RULES_POSITION_H_
#define SHOAL_RULES_POSITION_H_

#include <cstdint>
#include <string_view>

namespace shoal::rules {

// The first 32 bits (big endian) of SHA-256("shoal.position.v1" ‖ 0 ‖
// rollout_id ‖ 0 ‖ device_id). `device_id` is the 16-byte id.
uint32_t Position(std::string_view rollout_id, std::string_view device_id);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_POSITION_H_
