// A client against a repository that holds the online keys and the worst
// intentions: the input is a list of moves (publish with these versions, pins,
// expiries, by these keys; lose a file; damage one; let time pass; refresh),
// and after each the rules that no sequence may break are checked.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/sign/builder.h"
#include "signing/verify/updater.h"

namespace {

using namespace shoal;           // NOLINT: a fuzzer's only file
using namespace shoal::signing;  // NOLINT

void Require(bool ok) {
  if (!ok) abort();
}

class MemoryFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max) override {
    const auto it = files.find(path);
    if (it == files.end()) return NotFound("io_not_found", path);
    if (it->second.size() > max) return ResourceExhausted("large", path);
    return it->second;
  }
  absl::Status WriteAtomic(const std::string& path, std::string_view content,
                           unsigned) override {
    files[path] = std::string(content);
    return absl::OkStatus();
  }
  absl::Status Remove(const std::string& path) override {
    files.erase(path);
    return absl::OkStatus();
  }
  absl::Status MakeDirectories(const std::string&, unsigned) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string&) override {
    return std::vector<std::string>();
  }
  bool Exists(const std::string& path) override { return files.contains(path); }
  absl::StatusOr<uint64_t> Size(const std::string& path) override {
    return files[path].size();
  }
  std::map<std::string, std::string> files;
};

class StepClock final : public Clock {
 public:
  absl::Time WallNow() override { return now; }
  absl::Duration MonotonicNow() override { return now - absl::UnixEpoch(); }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

// Key generation is slow, and which keys they are does not matter.
const crypto::SigningKey& KeyOf(int number) {
  static std::map<int, crypto::SigningKey>* const keys =
      new std::map<int, crypto::SigningKey>();
  const auto it = keys->find(number);
  if (it != keys->end()) return it->second;
  return keys->emplace(number, crypto::SigningKey::Generate()).first->second;
}
constexpr int kRootKey = 0, kTargetsKey = 1, kOnlineKeys = 2;  // 2 to 5

class World final : public Fetcher {
 public:
  World() {
    PublishRoot(2, 3);
    PublishTargets(1);
    PublishSnapshot(1, 3, true);
    PublishTimestamp(1, 1, 2);
  }

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t) override {
    const auto it = files.find(MetadataFileName(role, version));
    if (it == files.end()) return NotFound("metadata_missing", role);
    return it->second;
  }
  absl::StatusOr<std::string> FetchTarget(const TargetFile&) override {
    return Unavailable("none", "none");
  }

  void PublishRoot(int timestamp_key, int snapshot_key) {
    Root root;
    root.version = ++root_version_;
    root.expires = clock.now + absl::Hours(24 * 365);
    const auto give = [&root](const char* role, int key) {
      const Key k = MakeEd25519Key(KeyOf(key).public_key());
      root.keys.emplace(k.id, k);
      root.roles[role] = {{k.id}, 1};
    };
    give("root", kRootKey);
    give("targets", kTargetsKey);
    give("timestamp", timestamp_key);
    give("snapshot", snapshot_key);
    files[MetadataFileName("root", root.version)] =
        SignRoot(root, {&KeyOf(kRootKey)}).value();
  }
  void PublishTargets(uint64_t version) {
    Targets targets;
    targets.version = version;
    targets.expires = clock.now + life;
    files[MetadataFileName("targets", version)] =
        SignTargets(targets, {&KeyOf(kTargetsKey)}).value();
  }
  void PublishSnapshot(uint64_t version, int key, bool with_pins) {
    Snapshot snapshot;
    snapshot.version = version;
    snapshot.expires = clock.now + life;
    const std::string name = MetadataFileName("targets", pinned_targets);
    MetaFile pin{pinned_targets, std::nullopt};
    if (with_pins && files.contains(name))
      pin = PinOf(pinned_targets, files[name]);
    snapshot.meta["targets"] = pin;
    files[MetadataFileName("snapshot", version)] =
        SignSnapshot(snapshot, {&KeyOf(key)}).value();
  }
  void PublishTimestamp(uint64_t version, uint64_t snapshot, int key) {
    Timestamp timestamp;
    timestamp.version = version;
    timestamp.expires = clock.now + life;
    timestamp.snapshot.version = snapshot;
    files["timestamp.json"] = SignTimestamp(timestamp, {&KeyOf(key)}).value();
  }

  StepClock clock;
  absl::Duration life = absl::Hours(100);
  uint64_t pinned_targets = 1;
  std::map<std::string, std::string> files;

 private:
  uint64_t root_version_ = 0;
};

// What must hold between two moments of one client.
struct Seen {
  uint64_t root = 0, timestamp = 0, snapshot = 0, targets = 0;
  std::string timestamp_keys, snapshot_keys;
};

std::string KeysOf(const Root& root, const char* role) {
  return root.roles.at(role).key_ids.front();
}

void Refresh(World& world, MemoryFileSystem& fs, const std::string& fleet,
             Seen& seen) {
  UpdaterOptions options;
  options.directory = "d";
  options.fleet_id = fleet;
  options.max_root_rotations = 8;
  auto updater = Updater::Open(options, fs, world.clock);
  Require(updater.ok());
  const absl::Status status = (*updater)->Refresh(world);
  if (!status.ok()) return;
  const Root& root = (*updater)->root();
  // Nothing expired is fresh (T05), no version goes back (T07) but by a key
  // that root took away (T04), every pin is met (T06).
  Require((*updater)->FreshUntil() > world.clock.now);
  Require(root.version >= seen.root);
  const bool rotated = seen.root == 0 ||
                       KeysOf(root, "timestamp") != seen.timestamp_keys ||
                       KeysOf(root, "snapshot") != seen.snapshot_keys;
  const bool walked = root.version > seen.root;  // may have rotated in between
  const uint64_t timestamp = (*updater)->timestamp().version;
  const uint64_t snapshot = (*updater)->snapshot().version;
  const uint64_t targets = (*updater)->targets().version;
  if (!rotated && !walked)
    Require(timestamp >= seen.timestamp && snapshot >= seen.snapshot &&
            targets >= seen.targets);
  Require((*updater)->timestamp().snapshot.version == snapshot);
  Require((*updater)->snapshot().meta.at("targets").version == targets);
  seen = {root.version,
          timestamp,
          snapshot,
          targets,
          KeysOf(root, "timestamp"),
          KeysOf(root, "snapshot")};
  // What is stored is as good as what was fetched.
  auto offline = Updater::Open(options, fs, world.clock);
  Require(offline.ok() && (*offline)->UseStored().ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (InitLog("fuzz", "error"), true);
  (void)quiet;
  World world;
  MemoryFileSystem fs;
  Seen seen;
  const std::string fleet = crypto::Sha256Digest(world.files["1.root.json"]);
  // Three bytes a move; few moves, since each signs something.
  for (size_t i = 0; i + 3 <= size && i < 3 * 24; i += 3) {
    const int a = data[i + 1];
    const int b = data[i + 2];
    const int key = kOnlineKeys + b % 4;
    switch (data[i] % 9) {
      case 0:
        Refresh(world, fs, fleet, seen);
        break;
      case 1:
        world.PublishTimestamp(1 + a % 8, 1 + b / 4 % 8, key);
        break;
      case 2:
        world.PublishSnapshot(1 + a % 8, key, (b & 4) != 0);
        break;
      case 3:
        world.PublishTargets(1 + a % 8);
        break;
      case 4:
        world.PublishRoot(kOnlineKeys + a % 4, key);
        break;
      case 5:
        world.pinned_targets = 1 + a % 8;
        break;
      case 6:
        world.life = absl::Hours(a - 64);
        break;
      case 7:
        world.clock.now += absl::Hours(a);
        break;
      case 8: {  // a file of the repository or of the client, damaged
        auto& files = (b & 1) != 0 ? world.files : fs.files;
        if (files.empty()) break;
        auto it = files.begin();
        std::advance(it, static_cast<size_t>(a) % files.size());
        // Without its own memory a client knows no older versions.
        if (&files == &fs.files) seen = Seen();
        if ((b & 2) != 0) {
          files.erase(it);
        } else if (!it->second.empty()) {
          char& c = it->second[static_cast<size_t>(b) * 7 % it->second.size()];
          c = static_cast<char>(c ^ 0x10);
        }
        break;
      }
    }
  }
  Refresh(world, fs, fleet, seen);
  return 0;
}
