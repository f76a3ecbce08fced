#include "dht/swarm/fetch/torrents.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/bdecode.hpp>
#include <libtorrent/bencode.hpp>
#include <libtorrent/extensions.hpp>
#include <libtorrent/extensions/smart_ban.hpp>
#include <libtorrent/hasher.hpp>
#include <libtorrent/ip_filter.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/posix_disk_io.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/session_stats.hpp>
#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_info.hpp>
#include <libtorrent/torrent_status.hpp>
#include <map>
#include <optional>
#include <thread>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

// Drops requests for blocks while uploading is not allowed: libtorrent's own
// slots always leave one optimistic peer. Runs on libtorrent's thread.
class NoUploadPeer final : public lt::peer_plugin {
 public:
  explicit NoUploadPeer(std::shared_ptr<std::atomic<bool>> allow)
      : allow_(std::move(allow)) {}
  bool on_request(const lt::peer_request&) override { return !*allow_; }

 private:
  std::shared_ptr<std::atomic<bool>> allow_;
};

class NoUploadTorrent final : public lt::torrent_plugin {
 public:
  explicit NoUploadTorrent(std::shared_ptr<std::atomic<bool>> allow)
      : allow_(std::move(allow)) {}
  std::shared_ptr<lt::peer_plugin> new_connection(
      const lt::peer_connection_handle&) override {
    return std::make_shared<NoUploadPeer>(allow_);
  }

 private:
  std::shared_ptr<std::atomic<bool>> allow_;
};

void ApplyLimits(lt::settings_pack& pack, const LimitsCommand& limits) {
  const auto rate = [](int64_t value) {
    return static_cast<int>(std::min<int64_t>(value, 1 << 30));
  };
  pack.set_int(lt::settings_pack::upload_rate_limit, rate(limits.upload));
  pack.set_int(lt::settings_pack::download_rate_limit, rate(limits.download));
}

lt::settings_pack Settings(const std::string& listen,
                           const LimitsCommand& limits) {
  using S = lt::settings_pack;
  S pack = lt::default_settings();
  pack.set_str(S::user_agent, "");
  pack.set_str(S::handshake_client_version, "");
  pack.set_str(S::peer_fingerprint, "-SH0100-");
  // Who we talk to: only who is named.
  pack.set_str(S::listen_interfaces, listen);
  pack.set_int(S::max_retry_port_bind, 0);
  pack.set_bool(S::listen_system_port_fallback, false);
  pack.set_bool(S::enable_dht, false);
  pack.set_bool(S::enable_lsd, false);
  pack.set_bool(S::enable_upnp, false);
  pack.set_bool(S::enable_natpmp, false);
  pack.set_str(S::dht_bootstrap_nodes, "");
  pack.set_bool(S::enable_outgoing_utp, false);
  pack.set_bool(S::enable_incoming_utp, false);
  pack.set_bool(S::enable_incoming_tcp, !listen.empty());
  pack.set_bool(S::allow_multiple_connections_per_ip, true);  // NAT, loopback
  pack.set_bool(S::apply_ip_filter_to_trackers, false);
  pack.set_int(S::in_enc_policy, S::pe_forced);
  pack.set_int(S::out_enc_policy, S::pe_forced);
  pack.set_int(S::allowed_enc_level, S::pe_both);
  pack.set_bool(S::prefer_rc4, true);
  // A named peer is worth another try soon: it may just be starting.
  pack.set_int(S::min_reconnect_time, 1);
  pack.set_int(S::max_failcount, 1000);
  pack.set_int(S::peer_connect_timeout, 5);
  pack.set_int(S::handshake_timeout, 5);
  pack.set_int(S::request_timeout, 15);
  pack.set_int(S::piece_timeout, 10);
  // Memory.
  pack.set_int(S::connections_limit, 60);
  pack.set_int(S::unchoke_slots_limit, 8);
  pack.set_int(S::max_queued_disk_bytes, 2 * 1024 * 1024);
  pack.set_int(S::max_out_request_queue, 128);
  pack.set_int(S::max_allowed_in_request_queue, 256);
  pack.set_int(S::send_buffer_watermark, 256 * 1024);
  pack.set_int(S::send_buffer_low_watermark, 64 * 1024);
  pack.set_int(S::max_peerlist_size, 512);
  pack.set_int(S::aio_threads, 1);
  pack.set_int(S::hashing_threads, 1);
  pack.set_int(S::checking_mem_usage, 32);
  pack.set_int(S::file_pool_size, 16);
  pack.set_int(S::alert_queue_size, 500);
  pack.set_int(S::listen_queue_size, 16);
  pack.set_int(S::active_limit, -1);
  pack.set_int(S::tick_interval, 200);
  // Two who have everything need no connection.
  pack.set_bool(S::close_redundant_connections, true);
  pack.set_int(S::alert_mask,
               lt::alert_category::error | lt::alert_category::status |
                   lt::alert_category::connect | lt::alert_category::peer);
  ApplyLimits(pack, limits);
  return pack;
}

// A BitTorrent v2 info dictionary with one file, named by the artifact's
// SHA-256. Every part of the fleet derives the same bytes, hence the same
// info-hash.
absl::StatusOr<std::shared_ptr<lt::torrent_info>> MakeInfo(
    const Artifact& artifact) {
  const std::string name = HexEncode(artifact.sha256);
  lt::entry info(lt::entry::dictionary_t);
  lt::entry& file = info["file tree"][name][""];
  file["length"] = static_cast<lt::entry::integer_type>(artifact.length);
  file["pieces root"] = artifact.file_root;
  info["meta version"] = 2;
  info["name"] = name;
  info["piece length"] =
      static_cast<lt::entry::integer_type>(artifact.piece_length);
  std::string bytes;
  lt::bencode(std::back_inserter(bytes), info);

  lt::error_code error;
  const lt::bdecode_node node = lt::bdecode(bytes, error);
  if (error) return Internal("bad_artifact", error.message());
  lt::info_hash_t hash(lt::hasher256(bytes).final());
  auto torrent = std::make_shared<lt::torrent_info>(hash);
  if (!torrent->parse_info_section(node, error, 1 << 21)) {
    return InvalidArgument("bad_artifact", error.message());
  }
  return torrent;
}

absl::Status FileError(const lt::error_code& error) {
  if (error.category() == lt::system_category() ||
      error.category() == lt::generic_category()) {
    return ErrnoError(error.value(), "transfer of the file");
  }
  return Internal("torrent", error.message());
}

}  // namespace

struct TorrentSession::Impl {
  std::unique_ptr<lt::session> session;
  std::shared_ptr<std::atomic<bool>> allow_upload =
      std::make_shared<std::atomic<bool>>(true);
  std::string address;
  std::map<std::string, lt::torrent_handle> torrents;
  std::vector<BannedPeer> banned;
  uint64_t uploaded_before = 0;  // by torrents that are gone

  void Drain() {
    std::vector<lt::alert*> alerts;
    session->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts) {
      const auto* ban = lt::alert_cast<lt::peer_ban_alert>(alert);
      if (ban == nullptr) continue;
      for (const auto& [sha256, handle] : torrents) {
        if (handle != ban->handle) continue;
        const auto& ip = ban->endpoint.address();
        banned.push_back(
            {sha256, Endpoint{ip.to_string(), ban->endpoint.port(), ip.is_v6()}
                         .ToString()});
      }
    }
  }
};

TorrentSession::TorrentSession(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
TorrentSession::~TorrentSession() = default;

absl::StatusOr<std::unique_ptr<TorrentSession>> TorrentSession::Open(
    const std::string& listen, const LimitsCommand& limits, int wake_fd) try {
  Endpoint bind;
  if (!listen.empty()) {
    SHOAL_ASSIGN_OR_RETURN(bind, ParseEndpoint(listen, true));
  }
  auto impl = std::make_unique<Impl>();
  *impl->allow_upload = limits.allow_upload;
  lt::session_params params(Settings(listen, limits), {});
  params.disk_io_constructor = lt::posix_disk_io_constructor;
  impl->session = std::make_unique<lt::session>(std::move(params));
  lt::session& session = *impl->session;
  // No peer exchange and no metadata exchange: the info dictionary is known.
  session.add_extension(
      [](const lt::torrent_handle& handle, lt::client_data_t data) {
        return lt::create_smart_ban_plugin(handle, data);
      });
  session.add_extension([allow = impl->allow_upload](const lt::torrent_handle&,
                                                     lt::client_data_t) {
    return std::make_shared<NoUploadTorrent>(allow);
  });
  // Rate limits hold for neighbours too: every address is in the global class
  // only (libtorrent would put local ones in a class without limits).
  lt::ip_filter classes;
  const auto global = static_cast<std::uint32_t>(
      1u << static_cast<std::uint32_t>(lt::session::global_peer_class_id));
  classes.add_rule(lt::make_address("0.0.0.0"),
                   lt::make_address("255.255.255.255"), global);
  classes.add_rule(lt::make_address("::"),
                   lt::make_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                   global);
  session.set_peer_class_filter(classes);

  if (!listen.empty()) {
    // The result of listening comes as an alert.
    const auto give_up =
        std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (impl->address.empty()) {
      if (std::chrono::steady_clock::now() > give_up) {
        return Unavailable("listen", "can't listen on " + listen);
      }
      session.wait_for_alert(std::chrono::milliseconds(200));
      std::vector<lt::alert*> alerts;
      session.pop_alerts(&alerts);
      for (const lt::alert* alert : alerts) {
        if (const auto* ok = lt::alert_cast<lt::listen_succeeded_alert>(alert);
            ok != nullptr && ok->socket_type == lt::socket_type_t::tcp) {
          bind.port = static_cast<uint16_t>(ok->port);
          impl->address = bind.ToString();
        }
        if (const auto* bad = lt::alert_cast<lt::listen_failed_alert>(alert);
            bad != nullptr && bad->socket_type == lt::socket_type_t::tcp) {
          return Unavailable("listen",
                             fmt::format("can't listen on {}: {}", listen,
                                         bad->error.message()));
        }
      }
    }
  }
  session.set_alert_notify([wake_fd] {
    const uint64_t one = 1;
    // A full counter already wakes the reader.
    [[maybe_unused]] const ssize_t n = write(wake_fd, &one, sizeof(one));
  });
  return std::unique_ptr<TorrentSession>(new TorrentSession(std::move(impl)));
} catch (const std::exception& e) {
  return Internal("torrent", e.what());
}

std::string TorrentSession::address() const { return impl_->address; }

void TorrentSession::SetLimits(const LimitsCommand& limits) {
  *impl_->allow_upload = limits.allow_upload;
  lt::settings_pack pack;
  ApplyLimits(pack, limits);
  impl_->session->apply_settings(std::move(pack));
}

absl::Status TorrentSession::Add(const Artifact& artifact,
                                 const std::string& path, bool seed) try {
  SHOAL_ASSIGN_OR_RETURN(auto info, MakeInfo(artifact));
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size()) {
    return InvalidArgument("bad_job", "no absolute path: " + path);
  }
  lt::add_torrent_params params;
  params.ti = info;
  params.save_path = slash == 0 ? "/" : path.substr(0, slash);
  params.renamed_files[lt::file_index_t{0}] = path.substr(slash + 1);
  params.storage_mode = lt::storage_mode_sparse;
  params.flags =
      lt::torrent_flags::disable_dht | lt::torrent_flags::disable_pex |
      lt::torrent_flags::disable_lsd | lt::torrent_flags::duplicate_is_error |
      lt::torrent_flags::override_trackers |
      lt::torrent_flags::override_web_seeds;
  if (seed) params.flags |= lt::torrent_flags::upload_mode;
  lt::error_code error;
  lt::torrent_handle handle =
      impl_->session->add_torrent(std::move(params), error);
  if (error == lt::errors::duplicate_torrent) {
    return MakeError(absl::StatusCode::kAlreadyExists, "duplicate_artifact",
                     "the artifact is in transfer already");
  }
  if (error) return FileError(error);
  impl_->torrents[artifact.sha256] = handle;
  return absl::OkStatus();
} catch (const std::exception& e) {
  return Internal("torrent", e.what());
}

void TorrentSession::StopDownloading(const std::string& sha256) {
  const auto it = impl_->torrents.find(sha256);
  if (it == impl_->torrents.end()) return;
  it->second.set_flags(lt::torrent_flags::upload_mode);
}

void TorrentSession::Remove(const std::string& sha256) {
  const auto it = impl_->torrents.find(sha256);
  if (it == impl_->torrents.end()) return;
  try {
    impl_->uploaded_before +=
        static_cast<uint64_t>(it->second.status({}).total_payload_upload);
    impl_->session->remove_torrent(it->second);
  } catch (const std::exception&) {
    // Only an invalid handle throws: the torrent is gone already.
  }
  impl_->torrents.erase(it);
}

bool TorrentSession::Has(const std::string& sha256) const {
  return impl_->torrents.contains(sha256);
}

void TorrentSession::Connect(const std::string& sha256,
                             const std::string& peer) {
  const auto it = impl_->torrents.find(sha256);
  const auto endpoint = ParseEndpoint(peer);
  if (it == impl_->torrents.end() || !endpoint.ok()) return;
  lt::error_code error;
  const auto address = lt::make_address(endpoint->ip, error);
  if (error) return;
  try {
    it->second.connect_peer(lt::tcp::endpoint(address, endpoint->port));
  } catch (const std::exception&) {
    // As above.
  }
}

absl::StatusOr<TorrentState> TorrentSession::GetState(
    const std::string& sha256) const try {
  const auto it = impl_->torrents.find(sha256);
  if (it == impl_->torrents.end())
    return NotFound("torrent", "no such torrent");
  const lt::torrent_status status =
      it->second.status(lt::torrent_handle::query_pieces);
  TorrentState state;
  using T = lt::torrent_status;
  state.checking = status.state == T::checking_files ||
                   status.state == T::checking_resume_data;
  state.complete = !state.checking && status.is_seeding;
  state.done =
      static_cast<uint64_t>(std::max<std::int64_t>(0, status.total_done));
  state.payload = static_cast<uint64_t>(status.total_payload_download);
  state.failed = static_cast<uint64_t>(status.total_failed_bytes);
  state.peers = status.num_peers;
  state.have.reserve(static_cast<size_t>(status.pieces.size()));
  for (const bool have : status.pieces) state.have.push_back(have);
  if (status.errc) state.error = FileError(status.errc);
  return state;
} catch (const std::exception& e) {
  return Internal("torrent", e.what());
}

std::vector<BannedPeer> TorrentSession::PopBanned() {
  impl_->Drain();
  return std::exchange(impl_->banned, {});
}

uint64_t TorrentSession::uploaded() const {
  uint64_t bytes = impl_->uploaded_before;
  for (const auto& [sha256, handle] : impl_->torrents) {
    try {
      bytes += static_cast<uint64_t>(handle.status({}).total_payload_upload);
    } catch (const std::exception&) {
      // As above.
    }
  }
  return bytes;
}

}  // namespace shoal::dht
