#include "tests/integration/identity/stolen_device.h"

#include <fmt/format.h>

#include <filesystem>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "dht/records/record.h"

namespace shoal::testing {

absl::StatusOr<std::unique_ptr<StolenDevice>> StolenDevice::Take(
    const std::string& state, const std::string& copy) {
  std::error_code error;
  std::filesystem::copy(state, copy, std::filesystem::copy_options::recursive,
                        error);
  if (error) return Internal("copy", error.message());
  SHOAL_ASSIGN_OR_RETURN(
      agent::DeviceKeys keys,
      agent::DeviceKeys::LoadOrCreate(RealFileSystem(), copy));
  SHOAL_ASSIGN_OR_RETURN(auto membership,
                         agent::LoadMembership(RealFileSystem(), copy));
  if (!membership) return Internal("not_paired", state);
  return std::unique_ptr<StolenDevice>(
      new StolenDevice(std::move(keys), *std::move(membership)));
}

std::string StolenDevice::Telemetry(uint64_t sequence,
                                    absl::Time issued) const {
  const dht::PlaceNamer places(membership_.grant.network().place_key());
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_TELEMETRY;
  fields.place = places.Telemetry(membership_.device_id(), 0);
  fields.version = sequence;
  fields.issued = issued;
  fields.expires = absl::Now() + absl::Hours(24);
  fields.payload = "sealed to nobody";
  fields.credential = membership_.grant.credential();
  return dht::SignRecord(fields, keys_.signing, membership_.fleet_id);
}

absl::Status StolenDevice::Offer(const std::string& record) const {
  const pairing::v1::Grant& grant = membership_.grant;
  dht::NetworkOptions options;
  options.fleet_id = membership_.fleet_id;
  options.keys = {grant.network().keys().begin(), grant.network().keys().end()};
  options.place_key = grant.network().place_key();
  options.directory = grant.directory();
  options.resolver = [](const dht::RecordBody&,
                        absl::Time) -> absl::StatusOr<dht::Writer> {
    return PermissionDenied("unknown_writer", "it only writes");
  };
  options.clock = &SystemClock();
  SHOAL_ASSIGN_OR_RETURN(const auto client,
                         dht::Network::Open(std::move(options)));
  dht::PutOptions put;
  put.wanted_receipts = grant.directory().nodes_size();
  put.deadline = absl::Seconds(10);
  SHOAL_ASSIGN_OR_RETURN(const dht::PutResult result,
                         client->PutBlocking(record, put));
  if (!result.under_replicated) return absl::OkStatus();
  return Internal("some_receipts", fmt::format("{} of {} storage nodes keep it",
                                               result.receipts, result.wanted));
}

}  // namespace shoal::testing
