// A real shoald under load: unary calls, watches that stay open, outcomes of a
// running rollout coming in, first each alone, then all together.
//
//   build/dev/bin/load_bench --rate 5000 --seconds 30
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "shoal/rollout/v1/rollout_service.grpc.pb.h"
#include "tests/bench/load/load_calls.h"
#include "tests/bench/load/load_fleet.h"
#include "tests/bench/load/load_outcomes.h"
#include "tests/bench/load/load_report.h"
#include "tests/bench/load/load_watches.h"

namespace shoal::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr char kRollout[] = "rollouts/load";

double Since(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

void Must(const grpc::Status& status, const char* what) {
  if (status.ok()) return;
  fmt::print(stderr, "{}: {}\n", what, status.error_message());
  std::exit(1);
}

class Bench {
 public:
  explicit Bench(const LoadOptions& options)
      : options_(options), fleet_(options) {}

  void Run() {
    fleet_.Start();
    for (uint32_t i = 0; i < options_.operators; ++i)
      channels_.push_back(fleet_.Channel(i));
    rollouts_ = rollout::v1::Rollouts::NewStub(channels_[0]);
    StartRollout();
    const size_t count = size_t{options_.rate} * options_.seconds;
    auto outcomes = MakeOutcomes(fleet_.Path("plane"), options_.devices, count,
                                 Now().document());
    Check(outcomes.status(), "outcomes");
    fmt::print(
        "{} devices, {} operators, {} storage nodes hand out {} outcomes"
        " each\n",
        options_.devices, options_.operators, options_.feeds, count);
    Say("at rest");
    {
      LoadCalls calls(Callers(), kRollout,
                      std::chrono::milliseconds(options_.pause_ms), report_);
      std::this_thread::sleep_for(std::chrono::seconds(5));
    }
    report_.Print("calls alone, 5 s");
    Together(*outcomes);
  }

 private:
  std::vector<std::shared_ptr<grpc::Channel>> Callers() const {
    return {channels_.begin(),
            channels_.begin() +
                std::min<long>(options_.callers,
                               static_cast<long>(channels_.size()))};
  }

  rollout::v1::Rollout Now() {
    grpc::ClientContext context;
    rollout::v1::GetRolloutRequest request;
    request.set_name(kRollout);
    rollout::v1::Rollout rollout;
    Must(rollouts_->GetRollout(&context, request, &rollout), "GetRollout");
    return rollout;
  }

  void StartRollout() {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id("load");
    request.set_release("releases/gateway/2.0");
    request.set_error_threshold_permille(250);
    for (const int percent : {1, 10, 50, 100}) {
      auto* phase = request.add_phases();
      phase->set_name(fmt::format("to-{}", percent));
      phase->set_percent(percent);
      if (percent < 100) phase->mutable_gate()->set_soak_ms(1000);
    }
    grpc::ClientContext context;
    rollout::v1::Rollout rollout;
    Must(rollouts_->CreateRollout(&context, request, &rollout), "create");
    const auto start = Steady::now();
    while (Now().published_at() == 0) {
      if (Since(start) > 120) {
        fmt::print(stderr, "the rollout was not published: {}\n{}\n",
                   Now().message(), fleet_.shoald().Log());
        std::exit(1);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  void Together(const std::vector<SharedRecord>& outcomes) {
    report_.Restart();
    const auto watched = Steady::now();
    LoadWatches watches(channels_, kRollout, options_.watches,
                        options_.devices / 100, report_);
    // Until no more are let in.
    uint32_t open = 0;
    do {
      open = watches.open();
      std::this_thread::sleep_for(std::chrono::seconds(3));
    } while (watches.open() > open && Since(watched) < 120);
    fmt::print("\n{} watches asked for, {} open after {:.1f} s\n",
               options_.watches, watches.open(), Since(watched));
    Say("with watches");

    const Usage before = UsageOf(fleet_.shoald().pid());
    const size_t count = outcomes.size();
    const uint32_t answering = AnsweringDevices(options_.devices, count);
    auto calls = std::make_unique<LoadCalls>(
        Callers(), kRollout, std::chrono::milliseconds(options_.pause_ms),
        report_);
    const auto start = Steady::now();
    fleet_.Feed(outcomes, options_.rate);
    rollout::v1::Rollout rollout;
    std::map<uint32_t, double> opened;
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      rollout = Now();
      opened.try_emplace(rollout.document().open_phase(), Since(start));
    } while (rollout.outcome_count() < answering &&
             Since(start) < 10.0 * options_.seconds + 60);
    const double took = Since(start);
    const Usage after = UsageOf(fleet_.shoald().pid());
    calls.reset();
    report_.Print(
        fmt::format("everything together: {} outcomes/s offered for {} s",
                    options_.rate, options_.seconds));
    if (rollout.outcome_count() < answering)
      fmt::print("NOT ALL TAKEN IN: {} of {} devices after {:.1f} s\n",
                 rollout.outcome_count(), answering, took);
    fmt::print(
        "outcomes taken in   {:>8.0f} /s ({} in {:.1f} s), {:.1f} s "
        "behind at the end\n",
        static_cast<double>(count) / took, count, took,
        took - static_cast<double>(count) / options_.rate);
    fmt::print("shoald's CPU        {:>8.2f} cores, {:.0f} us an outcome\n",
               (after.cpu_seconds - before.cpu_seconds) / took,
               (after.cpu_seconds - before.cpu_seconds) * 1e6 /
                   static_cast<double>(count));
    fmt::print("watch messages      {:>8}, {} watches open\n",
               watches.messages(), watches.open());
    for (const auto& [phase, when] : opened)
      fmt::print("phase {} open after {:>7.1f} s\n", phase, when);
    fmt::print("rollout: {}, {} outcomes, version {}\n",
               rollout::v1::RolloutState_Name(rollout.state()),
               rollout.outcome_count(), rollout.document().version());
    Say("at the end");
  }

  void Say(const char* when) {
    const Usage usage = UsageOf(fleet_.shoald().pid());
    fmt::print(
        "shoald {:<13} {:>7.1f} MB resident, {:.1f} at most, {} threads\n",
        when, usage.resident_mb, usage.peak_mb, usage.threads);
    std::fflush(stdout);
  }

  const LoadOptions options_;
  LoadFleet fleet_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::unique_ptr<rollout::v1::Rollouts::Stub> rollouts_;
  LoadReport report_;
};

}  // namespace
}  // namespace shoal::bench

int main(int argc, char** argv) {
  shoal::bench::LoadOptions options;
  CLI::App app{"A real shoald under load; see docs/scale.md."};
  app.add_option("--devices", options.devices, "In the fleet")
      ->capture_default_str()
      ->check(CLI::Range(100, 1'000'000));
  app.add_option("--rate", options.rate, "Outcomes a second")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--seconds", options.seconds, "For how long they come")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  app.add_option("--feeds", options.feeds,
                 "Storage nodes that hand out every outcome")
      ->capture_default_str()
      ->check(CLI::Range(1, 8));
  app.add_option("--callers", options.callers, "Threads of unary calls")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--pause-ms", options.pause_ms, "Of a caller between calls")
      ->capture_default_str();
  app.add_option("--watches", options.watches, "Streams to open")
      ->capture_default_str();
  app.add_option("--operators", options.operators, "Whose streams they are")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  CLI11_PARSE(app, argc, argv);
  shoal::bench::Bench(options).Run();
  return 0;
}
