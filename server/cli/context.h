// Contexts: which fleet the tool talks to, and as whom. On disk, in the context
// directory (--context-dir, SHOAL_CONTEXT_DIR, else ~/.config/shoal):
//   current                   the name of the context in use
//   contexts/NAME/context.toml  server, operator directory, fleet id
//   contexts/NAME/server.crt  the management plane's certificate, pinned
//   contexts/NAME/network.pb  GetNetworkResponse: network keys, node directory
//                             and metadata; secret (mode 0600)
//   contexts/NAME/trust/      what was verified of the metadata (Updater)
//   contexts/NAME/revocations.pb  devices and keys that were revoked, of these
// The operator's keys stay where they are; the context names their directory:
//   operator.json · operator.key (32 bytes) · tls.key · tls.crt
#ifndef SHOAL_SERVER_CLI_CONTEXT_H_
#define SHOAL_SERVER_CLI_CONTEXT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/secret.h"
#include "common/files.h"
#include "shoal/fleet/v1/node_service.pb.h"

namespace shoal::cli {

struct Context {
  std::string name;
  std::string directory;     // contexts/NAME
  std::string server;        // "host:port"
  std::string operator_dir;  // absolute
  std::string fleet_id;      // 32 bytes
  std::string server_cert_pem;
};

// The secret halves that an operator works with.
struct OperatorKeys {
  crypto::SecretBytes tls_key_pem;
  std::string tls_cert_pem;
};

// One thread. Reasons: "no_context" (kFailedPrecondition) when none is chosen,
// "unknown_context" (kNotFound), "bad_context" (kInvalidArgument).
class ContextStore {
 public:
  // `fs` outlives it. Nothing is made until Save().
  ContextStore(FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  // "" or unreadable without a home directory: "no_context_dir".
  static absl::StatusOr<std::string> DefaultDirectory();

  const std::string& directory() const { return directory_; }
  std::string DirectoryOf(const std::string& name) const;
  absl::StatusOr<std::vector<std::string>> List() const;  // sorted
  absl::StatusOr<std::string> Current() const;
  absl::Status Use(const std::string& name);
  // Of `name`, or of the current one when it is empty.
  absl::StatusOr<Context> Load(const std::string& name) const;
  absl::Status Save(const Context& context);
  // Removes what Save() and SaveNetwork() wrote of a context that could not
  // be completed.
  absl::Status Discard(const std::string& name);

  absl::StatusOr<fleet::v1::GetNetworkResponse> LoadNetwork(
      const Context& context) const;
  // Writes only what is new.
  absl::Status SaveNetwork(const Context& context,
                           const fleet::v1::GetNetworkResponse& network);

 private:
  FileSystem& fs_;
  std::string directory_;
};

absl::StatusOr<OperatorKeys> LoadOperatorTls(FileSystem& fs,
                                             const std::string& directory);
// operator.key: signs commands and halts.
absl::StatusOr<crypto::SigningKey> LoadOperatorKey(
    FileSystem& fs, const std::string& directory);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_CONTEXT_H_
