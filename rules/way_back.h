// Where a rollout leads a device: one that leads back may name several
// releases, since not all devices came from the same one (docs/rollouts.md,
// "Abort").
#ifndef SHOAL_RULES_WAY_BACK_H_
#define SHOAL_RULES_WAY_BACK_H_

#include <cstdint>
#include <string_view>

#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

// The release among document.previous() whose image the device ran before
// (`ran_before`, 32 bytes; empty: it does not know) unless it lies below
// `floor`; else document.release().
const rollout::v1::ReleaseRef& ReleaseFor(
    const rollout::v1::RolloutDocument& document, std::string_view ran_before,
    uint64_t floor);

// Is this the image of a release that the document names?
bool LeadsTo(const rollout::v1::RolloutDocument& document,
             std::string_view sha256);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_WAY_BACK_H_
