// An update on file slots in a temporary directory, with the boot loader's
// decision and every effect real, except that fetching takes bytes from a map
// and patching, health and reports are the test's.
#ifndef SHOAL_TESTS_UNIT_AGENT_ENGINE_RIG_H_
#define SHOAL_TESTS_UNIT_AGENT_ENGINE_RIG_H_

#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/boot/boot_env.h"
#include "agent/engine/engine.h"
#include "agent/install/image_file.h"
#include "agent/install/slots.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::agent::testing {

using shoal::testing::FakeClock;
using shoal::testing::TempDir;

inline void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}
inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Rig {
 public:
  explicit Rig(FileSystem& fs = RealFileSystem()) : Rig(fs, {}) {}
  struct Images {
    std::string old_image = std::string(30'000, 'o') + "ld";
    std::string new_image = std::string(40'000, 'n') + "ew";
    std::string delta = "a delta";
  };
  Rig(FileSystem& fs, Images images)
      : old_image_(std::move(images.old_image)),
        new_image_(std::move(images.new_image)),
        delta_(std::move(images.delta)),
        fs_(fs) {
    WriteFile(dir_.File("factory"), old_image_);
    FileSlots slots(RealFileSystem(), data());
    EXPECT_OK(slots.Initialise(dir_.File("factory"), "1.0.0"));
    served_[crypto::Sha256Digest(new_image_)] = new_image_;
  }

  std::string data() const { return dir_.File("data"); }
  std::string boot() const { return dir_.File("data/boot"); }
  std::string SlotPath(const std::string& slot) const {
    return dir_.File("data/slots/" + slot + "/image");
  }

  // Power on: the loader picks a slot, the agent opens its state.
  void PowerOn() {
    ASSERT_OK(BootOnce(fs_, boot()));
    OpenAgent();
  }
  void OpenAgent() {
    slots_ = std::make_unique<FileSlots>(fs_, data());
    auto state = DeviceState::Open(fs_, data() + "/journal.json");
    ASSERT_OK(state);
    state_ = *std::move(state);
    EngineOptions o;
    o.fs = &fs_;
    o.clock = &clock_;
    o.state = state_.get();
    o.slots = slots_.get();
    o.download_directory = data() + "/downloads";
    o.fetch = [this](const ArtifactSource& source, const std::string& path,
                     Substitute,
                     const std::atomic<bool>&) -> absl::StatusOr<FetchStats> {
      ++fetches_;
      const auto it = served_.find(source.sha256);
      if (it == served_.end()) return NotFound("no_source", "nobody has it");
      WriteFile(path, it->second);
      return FetchStats{it->second.size(), 0};
    };
    o.patch = [this](const PatchJob& job, const PatchProgress& progress) {
      ++patches_;
      last_job_ = job;
      if (real_patch_) return real_patch_(job, progress);
      if (!job.resume_state.empty() && !takes_resume_state_)
        return InvalidArgument("bad_resume", "of another patch");
      if (!patch_status_.ok()) return patch_status_;
      WriteFile(job.new_path, new_image_);
      return absl::OkStatus();
    };
    o.component = [this](const ComponentUpdate& update, ComponentAction action,
                         const std::string& file) {
      ++component_calls_;
      return modem_.Do(update, action, file);
    };
    o.health = [this](const RunningImage&) {
      ++health_checks_;
      return HealthResult{healthy_, healthy_ ? "fine" : "no uplink"};
    };
    o.report = [this](const UpdateRecord& u, const RunningImage& running) {
      reports_.push_back({u, running});
      return absl::OkStatus();
    };
    o.may_restart = [this] { return may_restart_; };
    engine_ = std::make_unique<Engine>(std::move(o));
  }

  UpdateRecord NewUpdate(bool with_delta = false) {
    UpdateRecord u;
    u.rollout_id = "r1";
    u.rollout_version = 1;
    u.image = {.version = "2.0.0",
               .sha256 = crypto::Sha256Digest(new_image_),
               .length = new_image_.size(),
               .counter = 2,
               .min_counter = 2};
    u.full.sha256 = u.image.sha256;
    u.full.length = u.image.length;
    if (with_delta) {
      served_[crypto::Sha256Digest(delta_)] = delta_;
      DeltaSource delta;
      delta.artifact.sha256 = crypto::Sha256Digest(delta_);
      delta.artifact.length = delta_.size();
      delta.from_sha256 = crypto::Sha256Digest(old_image_);
      delta.from_length = old_image_.size();
      u.delta = delta;
    }
    return u;
  }

  // With a modem's firmware that comes with the image.
  UpdateRecord NewUpdateWithModem() {
    UpdateRecord u = NewUpdate();
    const std::string sha256 = crypto::Sha256Digest(new_modem_);
    served_[sha256] = new_modem_;
    u.components.push_back({.name = "modem",
                            .counter = 2,
                            .version = "2.0.0",
                            .source = {.sha256 = sha256,
                                       .length = new_modem_.size(),
                                       .file_root = {},
                                       .local_path = {}}});
    return u;
  }

  // Runs, restarting as the engine asks, until nothing is in hand or it waits.
  Engine::Next Live() {
    for (int i = 0; i < 10; ++i) {
      const auto next = engine_->Run();
      EXPECT_OK(next);
      if (!next.ok() || *next != Engine::Next::kReboot)
        return next.ok() ? *next : Engine::Next::kWait;
      PowerOn();
    }
    ADD_FAILURE() << "restarts without end";
    return Engine::Next::kWait;
  }

  std::string RunningBytes() {
    const auto running = slots_->Running();
    EXPECT_OK(running);
    return running.ok() ? ReadFile(running->path) : "";
  }

  struct Report {
    UpdateRecord update;
    RunningImage running;
  };

  // What a component's program does to a component that keeps what it had.
  struct Modem {
    std::string runs = "old modem";
    std::optional<std::string> before;
    int refuses = 0;  // so many calls of `refused` fail
    ComponentAction refused = ComponentAction::kInstall;

    absl::Status Do(const ComponentUpdate&, ComponentAction action,
                    const std::string& file) {
      if (refuses > 0 && action == refused) {
        --refuses;
        return FailedPrecondition("component_failed", "no answer from it");
      }
      if (action == ComponentAction::kInstall) {
        if (!before) before = runs;
        runs = ReadFile(file);
        return absl::OkStatus();
      }
      if (action == ComponentAction::kRollback && before) runs = *before;
      before.reset();
      return absl::OkStatus();
    }
  };

  const std::string new_modem_ = std::string(5'000, 'm') + "odem";
  const std::string old_image_;
  const std::string new_image_;
  const std::string delta_;
  TempDir dir_;
  FileSystem& fs_;
  FakeClock clock_;
  std::map<std::string, std::string> served_;
  bool healthy_ = true;
  bool may_restart_ = true;
  absl::Status patch_status_;
  // Unset: the test's own, which only writes the new image.
  std::function<absl::Status(const PatchJob&, const PatchProgress&)>
      real_patch_;
  PatchJob last_job_;
  bool takes_resume_state_ = true;
  int fetches_ = 0;
  int patches_ = 0;
  int health_checks_ = 0;
  int component_calls_ = 0;
  Modem modem_;
  std::vector<Report> reports_;
  std::unique_ptr<FileSlots> slots_;
  std::unique_ptr<DeviceState> state_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace shoal::agent::testing

#endif  // SHOAL_TESTS_UNIT_AGENT_ENGINE_RIG_H_
