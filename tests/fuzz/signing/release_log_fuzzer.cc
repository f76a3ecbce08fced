// What anybody may hand to a reader of the release log: proofs, entries,
// leaves, tiles. No crash, and nothing proves what is not so.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "signing/log/files.h"
#include "signing/log/leaf.h"
#include "signing/log/merkle.h"
#include "signing/verify/log_prover.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal::signing;  // NOLINT: a fuzzer's only file
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (const auto leaf = ParseLogLeaf(bytes); leaf.ok()) {
    const auto again = EncodeLogLeaf(*leaf);
    if (!again.ok() || *again != bytes) abort();
  }
  if (const auto leaves = ParseLogEntries(bytes);
      leaves.ok() && EncodeLogEntries(*leaves) != bytes)
    abort();
  const auto nodes = NodesFromTiles(
      [&](const std::string&) -> absl::StatusOr<std::string> { return bytes; });
  (void)PrefixPath(1 + size % 999, 1000, nodes);

  // A head that nobody can prove anything under: its root is no hash of theirs.
  LogHead head{1000, std::string(32, 'r'), 999};
  shoal::log::v1::LogProof proof;
  if (!proof.ParseFromString(bytes)) return 0;
  proof.set_size(head.size);
  proof.set_root(head.root);
  const auto parsed = ParseLogProof(proof.SerializeAsString(), head);
  if (!parsed.ok()) return 0;
  const HashPath inclusion(parsed->inclusion().begin(),
                           parsed->inclusion().end());
  if (VerifyInclusion(std::string(32, 'l'), head.snapshot, head.size, inclusion,
                      head.root)
          .ok())
    abort();
  for (const auto& prefix : parsed->prefixes()) {
    const HashPath path(prefix.path().begin(), prefix.path().end());
    const auto root = RootOfPrefix(prefix.size(), head.size, head.root, path);
    // Equal sizes need no path.
    if (root.ok() && prefix.size() != head.size) abort();
  }
  return 0;
}
