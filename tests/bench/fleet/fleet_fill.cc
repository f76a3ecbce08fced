#include "tests/bench/fleet/fleet_fill.h"

#include <chrono>
#include <map>
#include <random>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/kv/store.h"
#include "common/status.h"
#include "fmt/format.h"
#include "server/fleet/device_changes.h"
#include "server/fleet/groups.h"
#include "server/fleet/running_images.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "signing/sign/builder.h"

namespace shoal::bench {
namespace {

using server::Transaction;
using Steady = std::chrono::steady_clock;

double Seconds(Steady::time_point since) {
  return std::chrono::duration<double>(Steady::now() - since).count();
}

class Filler {
 public:
  Filler(server::Store& store, const server::PlaneKeys& keys,
         const std::string& fleet_id)
      : store_(store), keys_(keys), fleet_id_(fleet_id) {}

  server::store::DeviceRow Device(uint32_t number) {
    server::store::DeviceRow row;
    const std::string id =
        crypto::Sha256Digest("device" + std::to_string(number)).substr(0, 16);
    auto& assignment = *row.mutable_assignment();
    assignment.set_device_id(id);
    assignment.set_version(1);
    assignment.set_device_type("gateway");
    auto& device = *row.mutable_device();
    device.set_name("devices/" + HexEncode(id));
    device.set_state(number % 50 == 0
                         ? fleet::v1::ENROLMENT_STATE_DECOMMISSIONED
                         : fleet::v1::ENROLMENT_STATE_ACCEPTED);
    device.set_device_type("gateway");
    auto& labels = *device.mutable_labels();
    labels["site"] = fmt::format("site-{}", Pick(500));
    labels["ring"] = fmt::format("ring-{}", Pick(5));
    labels["customer"] = fmt::format("customer-{}", Pick(50));
    if (Pick(3) == 0) labels["maintenance"] = "true";
    auto& inventory = *device.mutable_inventory();
    inventory["model"] = fmt::format("Model {}", Pick(4));
    inventory["os"] = "debian 12";
    inventory["kernel"] = fmt::format("6.1.0-{}", 10 + Pick(20));
    inventory["arch"] = Pick(2) ? "aarch64" : "x86_64";
    inventory["hostname"] = fmt::format("gw-{:06}", number);
    inventory["memory_kb"] = std::to_string((512 << Pick(4)) * 1024);
    inventory["cpus"] = std::to_string(1 << Pick(3));
    inventory["disk_mb"] = std::to_string(8000 << Pick(3));
    inventory["disk_free_mb"] = std::to_string((10 + Pick(90)) * 100);
    inventory["network"] = Pick(3) ? "ethernet" : "cellular";
    inventory["slot"] = Pick(2) ? "a" : "b";
    const int version = Pick(12);
    device.set_running_version(fmt::format("1.{}.0", version));
    device.set_running_sha256(
        HexEncode(crypto::Sha256Digest(std::to_string(version))));
    device.set_agent_version("0.1.0");
    const std::string key = crypto::Sha256Digest("key" + id);
    device.set_public_key(HexEncode(key));
    device.set_box_key(HexEncode(key));
    const int64_t now = absl::ToUnixMillis(store_.clock().WallNow());
    device.set_enrolled_at(now - 90ll * 86'400'000);
    device.set_last_seen_at(
        now - static_cast<int64_t>(random_() % (30u * 86'400'000u)));
    row.set_revision(1);
    records::v1::CredentialBody body;
    body.set_public_key(key);
    body.set_subject_id(id);
    body.set_kind(records::v1::WRITER_CLASS_DEVICE);
    body.set_not_after(absl::ToUnixSeconds(store_.clock().WallNow()) +
                       700ll * 86'400);
    body.set_serial(number);
    auto credential =
        signing::IssueCredential(keys_.device_ca, fleet_id_, body);
    if (credential.ok()) *row.mutable_credential() = *credential;
    return row;
  }

  absl::Status Fill(uint32_t devices) {
    for (uint32_t from = 1; from <= devices;) {
      Transaction tx(store_);
      tx.SetActor("operator:bench");
      for (int i = 0; i < 500 && from <= devices; ++i, ++from) {
        const auto row = Device(from);
        keys_of_devices_.push_back(row.device().name().substr(8));
        tx.Put(server::kDevices, keys_of_devices_.back(), row);
      }
      SHOAL_RETURN_IF_ERROR(tx.Commit());
      SHOAL_RETURN_IF_ERROR(Acknowledge());
    }
    return absl::OkStatus();
  }

  // As if storage nodes had everything.
  absl::Status Acknowledge() {
    std::vector<std::string> keys;
    SHOAL_RETURN_IF_ERROR(store_.ScanRaw(
        server::kOutbox, "", "", [&](std::string_view key, std::string_view) {
          keys.emplace_back(key);
          return true;
        }));
    Transaction tx(store_);
    for (const auto& key : keys) tx.Delete(server::kOutbox, key);
    return tx.Commit();
  }

  // Changes of random devices, `batch` a transaction, for `count` in all;
  // answers how many a second.
  absl::StatusOr<double> Changes(
      int count, int batch,
      const std::function<void(server::store::DeviceRow&)>& change) {
    const auto start = Steady::now();
    for (int done = 0; done < count; done += batch) {
      Transaction tx(store_);
      for (int i = 0; i < batch; ++i) {
        const std::string& key =
            keys_of_devices_[random_() % keys_of_devices_.size()];
        SHOAL_ASSIGN_OR_RETURN(
            auto row, tx.Get<server::store::DeviceRow>(server::kDevices, key));
        change(row);
        row.set_revision(row.revision() + 1);
        tx.Put(server::kDevices, key, row);
      }
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
    const double rate = count / Seconds(start);
    SHOAL_RETURN_IF_ERROR(Acknowledge());
    return rate;
  }

  int Pick(int n) {
    return static_cast<int>(random_() % static_cast<uint32_t>(n));
  }

 private:
  server::Store& store_;
  const server::PlaneKeys& keys_;
  const std::string fleet_id_;
  std::vector<std::string> keys_of_devices_;
  std::mt19937 random_{1};
};

}  // namespace

absl::StatusOr<FillResult> FillFleet(const std::string& directory,
                                     uint32_t devices) {
  Clock& clock = SystemClock();
  SHOAL_ASSIGN_OR_RETURN(auto keys,
                         server::LoadPlaneKeys(directory, RealFileSystem()));
  SHOAL_ASSIGN_OR_RETURN(auto kv,
                         kv::Store::Open(JoinPath(directory, "store"), {}));
  kv::Store* raw = kv.get();
  SHOAL_ASSIGN_OR_RETURN(auto store, server::Store::Open(std::move(kv), clock));
  SHOAL_ASSIGN_OR_RETURN(auto plane, store->Get<server::store::PlaneRow>(
                                         server::kMeta, "identity"));
  const server::RecordWriter writer(keys, plane.fleet_id());
  SHOAL_ASSIGN_OR_RETURN(auto changes,
                         server::DeviceChanges::Open(*store, writer));
  server::Groups groups(*store, *changes);
  for (int i = 0; i < 20; ++i) {
    fleet::v1::CreateGroupRequest request;
    request.set_group_id(fmt::format("dynamic-{}", i));
    request.mutable_group()->set_filter(
        i < 10 ? fmt::format("labels.customer = customer-{}", i)
        : i < 15
            ? fmt::format("labels.ring = ring-{} AND inventory.memory_kb > "
                          "1000000",
                          i - 10)
            : fmt::format("running_version < 1.{}.0 AND NOT "
                          "labels.maintenance:*",
                          i - 10));
    SHOAL_RETURN_IF_ERROR(groups.Create(request, "operator:bench"));
  }
  for (bool more = true; more;) {
    SHOAL_ASSIGN_OR_RETURN(more, groups.Reconcile());
  }
  Filler filler(*store, keys, plane.fleet_id());
  FillResult result;
  auto start = Steady::now();
  SHOAL_RETURN_IF_ERROR(filler.Fill(devices));
  result.devices_per_second = devices / Seconds(start);
  const auto move = [&](server::store::DeviceRow& row) {
    (*row.mutable_device()->mutable_labels())["customer"] =
        fmt::format("customer-{}", filler.Pick(10));
    (*row.mutable_device()->mutable_labels())["ring"] =
        fmt::format("ring-{}", filler.Pick(5));
  };
  SHOAL_ASSIGN_OR_RETURN(result.batched_moves_per_second,
                         filler.Changes(256 * 40, 256, move));
  SHOAL_ASSIGN_OR_RETURN(result.single_moves_per_second,
                         filler.Changes(1000, 1, move));
  SHOAL_ASSIGN_OR_RETURN(
      result.reports_per_second,
      filler.Changes(256 * 40, 256, [&](server::store::DeviceRow& row) {
        row.mutable_device()->set_last_seen_at(
            absl::ToUnixMillis(clock.WallNow()));
        (*row.mutable_device()->mutable_inventory())["disk_free_mb"] =
            std::to_string((10 + filler.Pick(90)) * 100);
      }));
  SHOAL_ASSIGN_OR_RETURN(result.disk_bytes, raw->DiskBytes());
  start = Steady::now();
  std::map<std::string, std::vector<rules::DeltaAbilities>> scanned;
  SHOAL_RETURN_IF_ERROR(store->Scan<server::store::DeviceRow>(
      server::kDevices, "", "",
      [&](std::string_view, const server::store::DeviceRow& row) {
        const auto& inventory = row.device().inventory();
        scanned[row.device().running_sha256()].push_back(
            rules::ReadDeltaAbilities({inventory.begin(), inventory.end()}));
        return true;
      }));
  for (const auto& [image, abilities] : scanned) rules::DemandOf(abilities, {});
  result.running_by_scan_ms = Seconds(start) * 1e3;
  constexpr int kLooks = 200;
  start = Steady::now();
  for (int i = 0; i < kLooks; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const auto counted,
                           server::RunningImages(*store, "gateway"));
    for (const auto& [image, running] : counted)
      rules::DemandOf(running.abilities, {});
    if (counted.size() != scanned.size())
      return Internal("bench", "the counts differ from the devices");
  }
  result.running_by_counts_ms = Seconds(start) * 1e3 / kLooks;
  return result;
}

}  // namespace shoal::bench
