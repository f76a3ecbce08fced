#include "rules/position.h"

#include <string>

#include "common/bytes.h"
#include "common/crypto/hash.h"

namespace shoal::rules {

uint32_t Position(std::string_view rollout_id, std::string_view device_id) {
  std::string input = "shoal.position.v1";
  input.push_back('\0');
  input.append(rollout_id);
  input.push_back('\0');
  input.append(device_id);
  return static_cast<uint32_t>(ReadBigEndian(crypto::Sha256Digest(input), 4));
}

}  // namespace shoal::rules
