#include "sim/account.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::sim {
namespace {

using nlohmann::json;

absl::StatusOr<PlaneAccount> Read(const json& rollout) {
  PlaneAccount account;
  account.state = rollout.at("state").get<std::string>();
  // Defaults may be left out in proto3 JSON.
  for (const json& phase : rollout.value("phases", json::array()))
    account.phases.push_back({phase.value("expected", 0u),
                              phase.value("succeeded", 0u),
                              phase.value("failed", 0u)});
  for (const json& outcome : rollout.value("outcomes", json::array())) {
    const std::string name = outcome.at("device");
    SHOAL_ASSIGN_OR_RETURN(const std::string id,
                           HexDecode(name.substr(name.find('/') + 1)));
    PlaneOutcome one;
    one.success = outcome.value("success", false);
    one.refused = outcome.value("refused", false);
    one.phase = outcome.value("phase", 0u);
    SHOAL_ASSIGN_OR_RETURN(one.running_sha256,
                           HexDecode(outcome.value("running_sha256", "")));
    if (!account.outcomes.emplace(id, std::move(one)).second)
      ++account.repeated;
  }
  return account;
}

}  // namespace

absl::StatusOr<PlaneAccount> ParseAccount(std::string_view text) {
  const auto bad = [&] {
    return InvalidArgument(
        "bad_account", fmt::format("not a rollout: {}", text.substr(0, 200)));
  };
  const json rollout = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!rollout.is_object()) return bad();
  try {
    return Read(rollout);
  } catch (const json::exception&) {
    return bad();
  }
}

}  // namespace shoal::sim
