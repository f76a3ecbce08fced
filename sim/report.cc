#include "sim/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/files.h"
#include "common/status.h"

namespace shoal::sim {
namespace {

using nlohmann::json;

json Json(const Usage& u) {
  return {
      {"cpu_seconds", u.cpu_seconds},         {"resident_bytes", u.resident},
      {"disk_written_bytes", u.disk_written}, {"udp_in_bytes", u.udp_in},
      {"udp_out_bytes", u.udp_out},           {"tcp_in_bytes", u.tcp_in},
      {"tcp_out_bytes", u.tcp_out},           {"records", u.records},
      {"record_bytes", u.record_bytes},       {"directory_bytes", u.directory}};
}

json Json(const Costs& c) {
  json nodes = json::array();
  for (const Usage& node : c.nodes) nodes.push_back(Json(node));
  return {{"seconds", c.seconds},
          {"plane", Json(c.plane)},
          {"nodes", nodes},
          {"simulator", Json(c.simulator)},
          {"devices_udp_in_bytes", c.device_udp_in},
          {"devices_udp_out_bytes", c.device_udp_out}};
}

Usage MeanNode(const Costs& costs) {
  Usage sum;
  for (const Usage& node : costs.nodes) {
    sum.cpu_seconds += node.cpu_seconds;
    sum.resident += node.resident;
    sum.udp_in += node.udp_in;
    sum.udp_out += node.udp_out;
    sum.tcp_in += node.tcp_in;
    sum.tcp_out += node.tcp_out;
    sum.records += node.records;
    sum.record_bytes += node.record_bytes;
    sum.directory += node.directory;
    sum.disk_written += node.disk_written;
  }
  const size_t n = std::max<size_t>(costs.nodes.size(), 1);
  sum.cpu_seconds /= static_cast<double>(n);
  for (uint64_t* value :
       {&sum.resident, &sum.udp_in, &sum.udp_out, &sum.tcp_in, &sum.tcp_out,
        &sum.records, &sum.record_bytes, &sum.directory, &sum.disk_written})
    *value /= n;
  return sum;
}

std::string Row(const std::string& what, const Costs& costs, double devices) {
  const Usage node = MeanNode(costs);
  const auto kb = [&](uint64_t a, uint64_t b) {
    return static_cast<double>(a + b) / devices / 1000;
  };
  return fmt::format(
      "{:<9}{:>8.1f} s {:>9.2f} {:>9.2f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}\n",
      what, costs.seconds, costs.plane.cpu_seconds / devices * 1e3,
      node.cpu_seconds / devices * 1e3,
      kb(costs.plane.udp_in, costs.plane.udp_out),
      kb(costs.plane.tcp_in, costs.plane.tcp_out),
      kb(node.udp_in, node.udp_out), kb(node.tcp_in, node.tcp_out));
}

Chart ChartOf(const Report& report, const std::string& title,
              const std::string& unit) {
  Chart chart;
  chart.title = title;
  chart.unit = unit;
  chart.marks = report.phase_marks;
  for (const Sample& sample : report.samples)
    chart.times.push_back(sample.seconds);
  return chart;
}

template <typename Value>
Series SeriesOf(const Report& report, const std::string& name,
                const Value& value) {
  Series series{name, {}};
  for (const Sample& sample : report.samples)
    series.values.push_back(static_cast<double>(value(sample)));
  return series;
}

}  // namespace

std::string ReportText(const Report& r) {
  const double n = r.options.devices;
  std::string text = fmt::format(
      "\n{} devices on {} DHT sockets, {} storage nodes, {} phases\n"
      "rollout: {} after {:.1f} s; {} updated ({} by delta), {} failed\n\n"
      "for each device  CPU ms of      plane, kB            a node, kB\n"
      "                  plane    a node       UDP       TCP       UDP       "
      "TCP\n",
      r.options.devices, r.sockets, r.options.nodes, r.options.phases.size(),
      r.state, r.rollout.seconds, r.updated, r.by_delta, r.failed);
  text += Row("pairing", r.pairing, n);
  text += Row("idle", r.idle, n);
  text += Row("rollout", r.rollout, n);
  const Usage node = MeanNode(r.rollout);
  text += fmt::format(
      "\nresident  shoald {:.1f} MB, a node {:.1f} MB, simulator {:.1f} MB\n"
      "on disk   shoald {:.1f} MB, a node {:.1f} MB with {} records of {:.0f} "
      "bytes\n",
      r.rollout.plane.resident / 1e6, node.resident / 1e6,
      r.rollout.simulator.resident / 1e6, r.rollout.plane.directory / 1e6,
      node.directory / 1e6, node.records,
      node.records == 0 ? 0.0
                        : static_cast<double>(node.record_bytes) /
                              static_cast<double>(node.records));
  if (!r.stall.empty()) {
    text += "\nThe rollout did not come to its end:\n";
    for (const std::string& one : r.stall) text += "  " + one + "\n";
  }
  if (r.violations.empty())
    return text + "\nEvery count of the plane is what the devices did.\n";
  text += fmt::format("\n{} things do not hold:\n", r.violations.size());
  for (const std::string& one : r.violations) text += "  " + one + "\n";
  return text;
}

std::string ReportJson(const Report& r) {
  json samples = json::array();
  for (const Sample& s : r.samples) {
    json states;
    for (int i = 0; i < kDeviceStates; ++i)
      states[std::string(DeviceStateName(static_cast<DeviceState>(i)))] =
          s.states[static_cast<size_t>(i)];
    samples.push_back({{"seconds", s.seconds},
                       {"states", states},
                       {"updated", s.updated},
                       {"failed", s.failed},
                       {"counted", s.counted},
                       {"counted_failed", s.counted_failed},
                       {"open_phase", s.open_phase},
                       {"late", s.late},
                       {"plane_cpu_seconds", s.plane_cpu},
                       {"plane_resident_bytes", s.plane_resident}});
  }
  json phases = json::array();
  for (const Mark& mark : r.phase_marks) phases.push_back(mark.time);
  const SimOptions& o = r.options;
  const json out = {
      {"options",
       {{"devices", o.devices},
        {"nodes", o.nodes},
        {"devices_per_socket", o.devices_per_socket},
        {"seed", o.seed},
        {"failing", o.failing},
        {"offline", o.offline},
        {"offline_for_seconds", absl::ToDoubleSeconds(o.offline_for)},
        {"reboot_seconds", absl::ToDoubleSeconds(o.reboot_time)},
        {"image_bytes", o.image_bytes},
        {"delta_bytes", o.delta_bytes},
        {"phases_percent", o.phases}}},
      {"state", r.state},
      {"updated", r.updated},
      {"failed", r.failed},
      {"by_delta", r.by_delta},
      {"restarted_pairings", r.restarted_pairings},
      {"phases_opened_seconds", phases},
      {"pairing", Json(r.pairing)},
      {"idle", Json(r.idle)},
      {"rollout", Json(r.rollout)},
      {"stall", r.stall},
      {"violations", r.violations},
      {"samples", samples}};
  return out.dump(1) + "\n";
}

Chart StateChart(const Report& r) {
  Chart chart =
      ChartOf(r, fmt::format("{} devices, by what they do", r.options.devices),
              "devices");
  chart.stacked = true;
  chart.series.push_back(
      SeriesOf(r, "updated", [](const Sample& s) { return s.updated; }));
  chart.series.push_back(
      SeriesOf(r, "failed", [](const Sample& s) { return s.failed; }));
  for (const DeviceState state :
       {DeviceState::kReporting, DeviceState::kRestarting,
        DeviceState::kInstalling, DeviceState::kDownloading, DeviceState::kOff,
        DeviceState::kIdle})
    chart.series.push_back(SeriesOf(
        r, std::string(DeviceStateName(state)), [state](const Sample& s) {
          return s.states[static_cast<size_t>(state)];
        }));
  return chart;
}

Chart CountChart(const Report& r) {
  Chart chart =
      ChartOf(r, "What the plane counts, and what is true", "devices");
  chart.series.push_back(SeriesOf(
      r, "truly done", [](const Sample& s) { return s.updated + s.failed; }));
  chart.series.push_back(SeriesOf(r, "counted", [](const Sample& s) {
    return s.counted + s.counted_failed;
  }));
  chart.series.push_back(
      SeriesOf(r, "truly failed", [](const Sample& s) { return s.failed; }));
  return chart;
}

Chart PlaneChart(const Report& r) {
  Chart chart = ChartOf(r, "The management plane", "");
  Series cpu{"CPU, % of a core", {}};
  for (size_t i = 0; i < r.samples.size(); ++i) {
    double percent = 0;
    if (i > 0 && r.samples[i].plane_cpu > 0) {
      const double time = r.samples[i].seconds - r.samples[i - 1].seconds;
      if (time > 0)
        percent =
            (r.samples[i].plane_cpu - r.samples[i - 1].plane_cpu) / time * 100;
    }
    cpu.values.push_back(std::max(0.0, percent));
  }
  chart.series.push_back(std::move(cpu));
  chart.series.push_back(SeriesOf(r, "resident, MB", [](const Sample& s) {
    return static_cast<double>(s.plane_resident) / 1e6;
  }));
  return chart;
}

absl::Status WritePlots(const Report& report, const std::string& prefix) {
  FileSystem& fs = RealFileSystem();
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(prefix + "-states.svg", ToSvg(StateChart(report))));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(prefix + "-counts.svg", ToSvg(CountChart(report))));
  return fs.WriteAtomic(prefix + "-plane.svg", ToSvg(PlaneChart(report)));
}

}  // namespace shoal::sim
