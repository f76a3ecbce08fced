// The tables of the management plane's store: a table is a key prefix. Keys
// and messages are named in server/store/state.proto.
#ifndef SHOAL_SERVER_STORE_TABLES_H_
#define SHOAL_SERVER_STORE_TABLES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/bytes.h"

namespace shoal::server {

inline constexpr std::string_view kMeta = "meta";
inline constexpr std::string_view kDevices = "device";
// Derived from kDevices, in the same change (server/fleet/device_index.h):
// conditions → devices, number → device, device → number, by time of report.
inline constexpr std::string_view kDeviceTerms = "device_term";
inline constexpr std::string_view kDeviceNumbers = "device_number";
inline constexpr std::string_view kDeviceNames = "device_name";
inline constexpr std::string_view kDevicesSeen = "device_seen";
// Change number → device, each device once, at its newest change.
inline constexpr std::string_view kDeviceChanges = "device_change";
// Place in a ring → change number of a device whose row was deleted; those that
// the ring forgot are no longer in kDeviceChanges either.
inline constexpr std::string_view kDeletedDevices = "device_deleted";
// Device id in hex, event number: what happened to it.
inline constexpr std::string_view kDeviceEvents = "device_event";
// Derived from kDevices too: what accepted devices run, counted
// (server/fleet/running_images.h).
inline constexpr std::string_view kRunning = "running";
inline constexpr std::string_view kGroups = "group";
inline constexpr std::string_view kTickets = "ticket";
inline constexpr std::string_view kDeviceKeys = "device_key";
inline constexpr std::string_view kPending = "pending";  // devices, raw ""
inline constexpr std::string_view kNetworkKeys = "network_key";
inline constexpr std::string_view kNodes = "node";
inline constexpr std::string_view kTuf = "tuf";
inline constexpr std::string_view kDocuments = "document";
inline constexpr std::string_view kReleases = "release";
inline constexpr std::string_view kDeltas = "delta";
inline constexpr std::string_view kRollouts = "rollout";
inline constexpr std::string_view kOutcomes = "outcome";
inline constexpr std::string_view kOutcomeCounts = "outcome_count";
// Rollout id, device id in hex: phases in which a device was and is no more.
inline constexpr std::string_view kLeftPhases = "left_phase";
// Device id in hex, key digest in hex, rollout id: outcomes (records, raw) by a
// key that the plane does not know as the device's.
inline constexpr std::string_view kHeldOutcomes = "outcome_held";
inline constexpr std::string_view kOutbox = "outbox";
inline constexpr std::string_view kPublications = "publication";
inline constexpr std::string_view kCursors = "cursor";
inline constexpr std::string_view kSeen = "seen";
inline constexpr std::string_view kRequests = "request";
inline constexpr std::string_view kAudit = "audit";
// Caller, place in a ring → number of the audit row of a refusal.
inline constexpr std::string_view kRefusals = "refusal";
inline constexpr std::string_view kTelemetry = "telemetry";
inline constexpr std::string_view kStreams = "stream";
inline constexpr std::string_view kResults = "result";
inline constexpr std::string_view kLogLeaves = "logleaf";
inline constexpr std::string_view kLogNodes = "lognode";
inline constexpr std::string_view kLogPending = "logpending";

// 8 bytes, so that keys sort as numbers.
inline std::string SequenceKey(uint64_t sequence) {
  std::string key;
  AppendBigEndian(key, sequence, 8);
  return key;
}

}  // namespace shoal::server

#endif  // SHOAL_SERVER_STORE_TABLES_H_
