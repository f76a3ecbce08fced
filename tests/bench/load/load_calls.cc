#include "tests/bench/load/load_calls.h"

#include <fmt/format.h>

#include <functional>
#include <random>
#include <utility>

#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"

namespace shoal::bench {
namespace {

using Steady = std::chrono::steady_clock;

}  // namespace

LoadCalls::LoadCalls(
    const std::vector<std::shared_ptr<grpc::Channel>>& channels,
    std::string rollout, std::chrono::milliseconds pause, LoadReport& report)
    : rollout_(std::move(rollout)), pause_(pause), report_(report) {
  for (size_t i = 0; i < channels.size(); ++i)
    threads_.emplace_back([this, channel = channels[i], i] {
      Run(channel, static_cast<uint32_t>(i));
    });
}

LoadCalls::~LoadCalls() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void LoadCalls::Run(const std::shared_ptr<grpc::Channel>& channel,
                    uint32_t seed) {
  const auto devices = fleet::v1::Devices::NewStub(channel);
  const auto rollouts = rollout::v1::Rollouts::NewStub(channel);
  std::mt19937 random(seed);
  std::vector<std::string> names;
  const auto timed = [&](const char* what, const auto& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
    const auto start = Steady::now();
    const grpc::Status status = call(&context);
    if (status.ok()) {
      report_.Took(
          what, std::chrono::duration<double, std::milli>(Steady::now() - start)
                    .count());
    } else {
      report_.Refused(what, status, context);
    }
  };
  const auto list = [&](const char* what, const std::string& filter,
                        const std::string& order) {
    fleet::v1::ListDevicesRequest request;
    request.set_filter(filter);
    request.set_order_by(order);
    fleet::v1::ListDevicesResponse page;
    timed(what, [&](auto* context) {
      return devices->ListDevices(context, request, &page);
    });
    for (const auto& device : page.devices()) names.push_back(device.name());
    if (names.size() > 1000) names.erase(names.begin(), names.end() - 500);
  };
  const std::function<void()> kinds[] = {
      [&] { list("ListDevices", "", ""); },
      [&] {
        list("ListDevices(site)",
             fmt::format("labels.site = site-{}", random() % 100), "");
      },
      [&] {
        if (names.empty()) return;
        fleet::v1::GetDeviceRequest request;
        request.set_name(names[random() % names.size()]);
        fleet::v1::Device device;
        timed("GetDevice", [&](auto* context) {
          return devices->GetDevice(context, request, &device);
        });
      },
      [&] {
        rollout::v1::GetRolloutRequest request;
        request.set_name(rollout_);
        rollout::v1::Rollout rollout;
        timed("GetRollout", [&](auto* context) {
          return rollouts->GetRollout(context, request, &rollout);
        });
      },
      [&] {
        rollout::v1::ListRolloutsResponse page;
        timed("ListRollouts", [&](auto* context) {
          return rollouts->ListRollouts(context, {}, &page);
        });
      },
      [&] {
        rollout::v1::ListOutcomesRequest request;
        request.set_parent(rollout_);
        rollout::v1::ListOutcomesResponse page;
        timed("ListOutcomes", [&](auto* context) {
          return rollouts->ListOutcomes(context, request, &page);
        });
      },
  };
  for (size_t i = seed; !stop_; ++i) {
    kinds[i % std::size(kinds)]();
    std::this_thread::sleep_for(pause_);
  }
}

}  // namespace shoal::bench
