#include "common/metrics/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace shoal::metrics {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct Samples::Impl {
  MetricFamily& Family(std::string_view name, std::string_view help,
                       MetricType type) {
    const auto found = index.find(name);
    if (found != index.end()) return families[found->second];
    index.emplace(name, families.size());
    MetricFamily& family = families.emplace_back();
    family.name = name;
    family.help = help;
    family.type = type;
    return family;
  }
  static ClientMetric& Add(MetricFamily& family, Labels labels) {
    ClientMetric& metric = family.metric.emplace_back();
    for (const auto& [name, value] : labels) {
      metric.label.push_back({std::string(name), value});
    }
    return metric;
  }
  std::vector<MetricFamily> families;
  std::map<std::string, size_t, std::less<>> index;
};

void Samples::Gauge(std::string_view name, std::string_view help, double value,
                    Labels labels) {
  auto& family = impl_.Family(name, help, MetricType::Gauge);
  Impl::Add(family, labels).gauge.value = value;
}

void Samples::Counter(std::string_view name, std::string_view help,
                      double value, Labels labels) {
  auto& family = impl_.Family(name, help, MetricType::Counter);
  Impl::Add(family, labels).counter.value = value;
}

struct Histogram::Impl {
  prometheus::Family<prometheus::Histogram>& family;
  std::vector<std::string> label_names;
  std::vector<double> buckets;
};

Histogram::Histogram(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Histogram::~Histogram() = default;

void Histogram::Observe(const std::vector<std::string>& label_values,
                        double value) {
  std::map<std::string, std::string> labels;
  const size_t n = std::min(label_values.size(), impl_->label_names.size());
  for (size_t i = 0; i < n; ++i) {
    labels.emplace(impl_->label_names[i], label_values[i]);
  }
  impl_->family.Add(labels, impl_->buckets).Observe(value);
}

struct Metrics::Impl final : prometheus::Collectable {
  std::vector<MetricFamily> Collect() const override {
    Samples::Impl collected;
    {
      std::lock_guard lock(mutex);
      Samples samples(collected);
      for (const auto& collector : collectors) collector(samples);
    }
    auto families = registry.Collect();
    std::move(families.begin(), families.end(),
              std::back_inserter(collected.families));
    return std::move(collected.families);
  }
  mutable std::mutex mutex;  // guards collectors, and is held while they run
  std::vector<std::function<void(Samples&)>> collectors;
  prometheus::Registry registry;
  std::mutex histograms_mutex;
  std::vector<std::unique_ptr<Histogram>> histograms;
};

Metrics::Metrics() : impl_(std::make_shared<Impl>()) {}
Metrics::~Metrics() { StopCollecting(); }

void Metrics::Collect(std::function<void(Samples&)> collector) {
  std::lock_guard lock(impl_->mutex);
  impl_->collectors.push_back(std::move(collector));
}

void Metrics::StopCollecting() {
  std::lock_guard lock(impl_->mutex);
  impl_->collectors.clear();
}

Histogram& Metrics::AddHistogram(std::string_view name, std::string_view help,
                                 std::vector<std::string> label_names,
                                 std::vector<double> buckets) {
  auto& family = prometheus::BuildHistogram()
                     .Name(std::string(name))
                     .Help(std::string(help))
                     .Register(impl_->registry);
  auto histogram =
      std::make_unique<Histogram>(std::make_unique<Histogram::Impl>(
          Histogram::Impl{family, std::move(label_names), std::move(buckets)}));
  std::lock_guard lock(impl_->histograms_mutex);
  impl_->histograms.push_back(std::move(histogram));
  return *impl_->histograms.back();
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->Collect());
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const {
  return impl_;
}

}  // namespace shoal::metrics
