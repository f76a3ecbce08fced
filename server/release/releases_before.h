// To which releases an abort leads devices back.
#ifndef SHOAL_SERVER_RELEASE_RELEASES_BEFORE_H_
#define SHOAL_SERVER_RELEASE_RELEASES_BEFORE_H_

#include <vector>

#include "server/store/state.pb.h"

namespace shoal::server {

// Of the releases of one device type those that an abort of `aborted` would
// name by itself: first the one before it (highest counter below its counter),
// for devices that remember nothing better; then at most eight others that
// devices may have run before and whose floor allows it, newest first, no image
// twice. Empty: there is none before. The first may lie below the floor that
// `aborted` leaves (min_counter); the others don't.
std::vector<store::ReleaseRow> ReleasesBefore(
    std::vector<store::ReleaseRow> of_type, const store::ReleaseRow& aborted);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_RELEASES_BEFORE_H_
