// What a program counts of itself, for Prometheus. Two ways in:
//
//   metrics.Collect([&](Samples& out) {          // read when somebody looks
//     out.Gauge("shoal_node_records", "Records on disk.",
//     store.Stats().records);
//   });
//   Histogram& seconds = metrics.AddHistogram("shoald_api_call_seconds",
//       "Time of a call.", {"method"}, kCallSeconds);   // told as it happens
//   seconds.Observe({"GetDevice"}, 0.004);
//
// Names and units follow prometheus.io/docs/practices/naming: base units
// (seconds, bytes), counters end in _total. The only user of prometheus-cpp's
// data model; metrics/endpoint.h serves it.
#ifndef SHOAL_COMMON_METRICS_METRICS_H_
#define SHOAL_COMMON_METRICS_METRICS_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prometheus {
class Collectable;
}

namespace shoal::metrics {

using Labels = std::initializer_list<std::pair<std::string_view, std::string>>;

// The answer to one look. Samples of one name are one family: give them the
// same help and kind.
class Samples {
 public:
  // Goes up and down.
  void Gauge(std::string_view name, std::string_view help, double value,
             Labels labels = {});
  // Only grows while the program runs.
  void Counter(std::string_view name, std::string_view help, double value,
               Labels labels = {});

 private:
  friend class Metrics;
  struct Impl;
  explicit Samples(Impl& impl) : impl_(impl) {}
  Impl& impl_;
};

// Counts and times of events, by the values of its labels. Thread-safe. Only
// values from a fixed set belong into labels: each set of them is kept for
// ever.
class Histogram {
 public:
  struct Impl;
  explicit Histogram(std::unique_ptr<Impl> impl);
  ~Histogram();
  // `label_values` in the order of the labels' names.
  void Observe(const std::vector<std::string>& label_values, double value);

 private:
  std::unique_ptr<Impl> impl_;
};

// Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // Called at each look, on the looker's thread, one at a time. What it reads
  // must live until StopCollecting() or the end of this object.
  void Collect(std::function<void(Samples&)> collector);
  // Waits for a look that is under way; collectors are not called again.
  void StopCollecting();

  // `buckets`: upper bounds, rising. The histogram lives as long as this.
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          std::vector<std::string> label_names,
                          std::vector<double> buckets);

  // Prometheus' text format 0.0.4.
  std::string Text() const;

  // For metrics/endpoint.cc.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
// process_start_time_seconds, as Prometheus' own clients name them.
void CollectProcess(Samples& out);

}  // namespace shoal::metrics

#endif  // SHOAL_COMMON_METRICS_METRICS_H_
