#include "tests/bench/load/load_watches.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"

namespace shoal::bench {
namespace {

// Shared by all streams.
struct Tally {
  explicit Tally(LoadReport& to) : report(to) {}
  LoadReport& report;
  std::atomic<uint64_t> messages{0};
  std::atomic<uint32_t> open{0};
  std::atomic<bool> hung_up{false};
  std::mutex mutex;
  std::condition_variable changed;
  uint32_t running = 0;
};

template <typename Message>
class Stream final : public grpc::ClientReadReactor<Message> {
 public:
  Stream(std::string what, Tally& tally)
      : what_(std::move(what)), tally_(tally) {}
  grpc::ClientContext* context() { return &context_; }
  void Begin() {
    this->StartRead(&message_);
    this->StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++tally_.messages;
    if (!std::exchange(counted_, true)) ++tally_.open;
    this->StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    if (counted_) --tally_.open;
    if (!tally_.hung_up) tally_.report.Refused(what_, status, context_);
    std::lock_guard lock(tally_.mutex);
    --tally_.running;
    tally_.changed.notify_all();
  }

  const std::string what_;
  Tally& tally_;
  grpc::ClientContext context_;
  Message message_;
  bool counted_ = false;
};

}  // namespace

struct LoadWatches::Impl {
  explicit Impl(LoadReport& report) : tally(report) {}
  Tally tally;
  std::vector<std::unique_ptr<fleet::v1::Devices::Stub>> devices;
  std::vector<std::unique_ptr<rollout::v1::Rollouts::Stub>> rollouts;
  std::vector<std::unique_ptr<Stream<fleet::v1::Device>>> of_devices;
  std::vector<std::unique_ptr<Stream<rollout::v1::Rollout>>> of_rollouts;
  std::vector<std::unique_ptr<fleet::v1::WatchDevicesRequest>> filters;
  rollout::v1::WatchRolloutRequest rollout;
};

LoadWatches::LoadWatches(
    const std::vector<std::shared_ptr<grpc::Channel>>& channels,
    const std::string& rollout, uint32_t count, uint32_t sites,
    LoadReport& report)
    : impl_(std::make_unique<Impl>(report)) {
  Impl& impl = *impl_;
  impl.rollout.set_name(rollout);
  for (const auto& channel : channels) {
    impl.devices.push_back(fleet::v1::Devices::NewStub(channel));
    impl.rollouts.push_back(rollout::v1::Rollouts::NewStub(channel));
  }
  impl.tally.running = count;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t channel = i % channels.size();
    if (i / channels.size() % 5 != 0) {
      auto stream = std::make_unique<Stream<rollout::v1::Rollout>>(
          "WatchRollout", impl.tally);
      impl.rollouts[channel]->async()->WatchRollout(
          stream->context(), &impl.rollout, stream.get());
      stream->Begin();
      impl.of_rollouts.push_back(std::move(stream));
      continue;
    }
    impl.filters.push_back(std::make_unique<fleet::v1::WatchDevicesRequest>());
    impl.filters.back()->set_filter(
        fmt::format("labels.site = site-{}", i % sites));
    auto stream =
        std::make_unique<Stream<fleet::v1::Device>>("WatchDevices", impl.tally);
    impl.devices[channel]->async()->WatchDevices(
        stream->context(), impl.filters.back().get(), stream.get());
    stream->Begin();
    impl.of_devices.push_back(std::move(stream));
  }
}

LoadWatches::~LoadWatches() {
  impl_->tally.hung_up = true;
  for (auto& stream : impl_->of_rollouts) stream->context()->TryCancel();
  for (auto& stream : impl_->of_devices) stream->context()->TryCancel();
  std::unique_lock lock(impl_->tally.mutex);
  impl_->tally.changed.wait(lock, [&] { return impl_->tally.running == 0; });
}

uint32_t LoadWatches::open() const { return impl_->tally.open; }
uint64_t LoadWatches::messages() const { return impl_->tally.messages; }

}  // namespace shoal::bench
