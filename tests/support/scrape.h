// What a program serves at its [metrics] address, as Prometheus reads it.
#ifndef SHOAL_TESTS_SUPPORT_SCRAPE_H_
#define SHOAL_TESTS_SUPPORT_SCRAPE_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "tests/support/process_harness.h"

namespace shoal::testing {

// GET /metrics at `address` ("127.0.0.1:9464"): the body. Waits up to 20 s.
absl::StatusOr<std::string> ScrapeAddress(const std::string& address);
// Of a program that logged `event=metrics address=…`; "" beside a failure of
// the running test.
std::string Scrape(const HarnessProcess& process);
// Names of our metrics in a text, without the suffixes of a histogram.
std::set<std::string> MetricNames(const std::string& text);

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_SCRAPE_H_
