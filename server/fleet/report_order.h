// Which of a device's reports is the newer one.
#ifndef SHOAL_SERVER_FLEET_REPORT_ORDER_H_
#define SHOAL_SERVER_FLEET_REPORT_ORDER_H_

#include "server/store/state.pb.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::server {

// Whether a report says more than what is known, under one key. A higher number
// does. So does a later signature, or whoever once had the device's key could
// end its reports for good by writing the highest number of all.
inline bool IsNewerReport(const store::DeviceRow& row,
                          const records::v1::RecordBody& report) {
  return report.version() > row.report_version() ||
         report.issued() > row.device().last_seen_at();
}

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_REPORT_ORDER_H_
