// A run's results: for people, for machines (JSON), as plots (SVG).
#ifndef SHOAL_SIM_REPORT_H_
#define SHOAL_SIM_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "sim/simulation.h"

namespace shoal::sim {

std::string ReportText(const Report& report);
std::string ReportJson(const Report& report);
// Devices by what they do; what the plane counts beside what is true; the
// plane's processor and memory.
Chart StateChart(const Report& report);
Chart CountChart(const Report& report);
Chart PlaneChart(const Report& report);
// PREFIX-states.svg, PREFIX-counts.svg, PREFIX-plane.svg.
absl::Status WritePlots(const Report& report, const std::string& prefix);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_REPORT_H_
