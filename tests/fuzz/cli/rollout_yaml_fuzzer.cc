// A rollout's YAML document: whatever it is, an answer or "bad_config".
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/status.h"
#include "server/cli/rollout_yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto request = shoal::cli::ParseRolloutYaml(
      text, "fuzz.yaml", absl::FromUnixSeconds(1767225600));
  if (!request.ok() && shoal::ReasonOf(request.status()) != "bad_config")
    std::abort();
  return 0;
}
