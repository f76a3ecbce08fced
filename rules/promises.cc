#include "rules/promises.h"

#include <fmt/format.h>

namespace shoal::rules {
namespace {

using rollout::v1::Gate;
using rollout::v1::RolloutDocument;

Promise GatePromise(const RolloutDocument& document, int phase) {
  const Gate& gate = document.phases(phase).gate();
  Promise promise{"gate:" + document.phases(phase).name(), true, ""};
  if (!document.unattended()) {
    promise.explanation =
        "stays shut: the rollout does not open phases without the plane";
  } else if (gate.manual()) {
    promise.explanation = "stays shut: the plane counts approvals";
  } else if (gate.success_permille() > 0 || gate.min_outcomes() > 0) {
    promise.explanation =
        "stays shut: the plane counts outcomes of all devices";
  } else {
    promise.explanation =
        "devices open it themselves after its time, on a sample of good "
        "outcomes that they have read";
    return promise;
  }
  promise.holds = false;
  promise.explanation += "; no later phase starts meanwhile";
  return promise;
}

}  // namespace

std::vector<Promise> PromisesOf(const RolloutDocument& document) {
  std::vector<Promise> promises;
  const auto add = [&](const char* name, bool holds, std::string explanation) {
    promises.push_back({name, holds, std::move(explanation)});
  };
  for (int i = 0; i + 1 < document.phases_size(); ++i)
    promises.push_back(GatePromise(document, i));
  add("halt", true,
      "any operator with the right halts it through a storage node");
  add("error_threshold", document.phases_size() > 1,
      document.phases_size() > 1
          ? "devices open no phase on a sample with too many failures; those "
            "of an open phase go on"
          : "one phase only: nobody counts failures while the plane is down");
  add("retries", true, "each device counts its own tries and pauses");
  if (document.windows_size() > 0 || document.calendar().excluded_size() > 0)
    add("windows", true, "by the device's own clock and calendar");
  if (document.activation().windows_size() > 0 ||
      document.activation().not_before() > 0)
    add("activation", true, "by the device's own clock and calendar");
  if (document.activation().hold())
    add("activation_hold", document.activation().released(),
        document.activation().released()
            ? "it is released"
            : "installed images wait: only the plane signs the release");
  if (document.has_parallel())
    add("max_parallel", false,
        document.unattended()
            ? fmt::format("becomes a spread of starts over {} s, once the "
                          "plane was silent for {} s",
                          document.parallel().spread_ms() / 1000,
                          2 * document.parallel().renew_ms() / 1000)
            : "devices that are not admitted yet wait for the plane");
  if (document.bandwidth().unmetered_only() ||
      document.bandwidth().max_bytes_per_second() > 0)
    add("bandwidth", true, "each device keeps to it by itself");
  if (document.consent()) add("consent", true, "asked for at the device");
  if (document.deadline() > 0)
    add("deadline", true, "by the device's own clock");
  add("expiry", true, "by the device's own clock");
  return promises;
}

}  // namespace shoal::rules
