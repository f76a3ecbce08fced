// The metadata parsers and canonical JSON on any bytes: no crash, and what
// they accept keeps its meaning.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "signing/metadata/image_info.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/updater.h"

namespace {

using namespace shoal::signing;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

// Without control characters canonical JSON is JSON, and canonical already.
void CheckCanonical(std::string_view text) {
  const auto once = CanonicalJson(text, kMaxTargetsBytes);
  if (!once.ok()) return;
  for (const char c : *once)
    if (static_cast<unsigned char>(c) < 0x20) return;
  const auto twice = CanonicalJson(*once, 2 * kMaxTargetsBytes);
  Require(twice.ok() && *twice == *once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckCanonical(bytes);
  if (const auto root = ParseRoot(bytes); root.ok()) {
    Require(root->value.version >= 1 && root->value.roles.size() == 4);
    const auto status = VerifySignatures(root->envelope, root->value.keys,
                                         root->value.roles.at("root"), "root");
    (void)status;
    Require(CanonicalJson(FormatRoot(root->value), 4 * kMaxRootBytes).ok());
  }
  if (const auto timestamp = ParseTimestamp(bytes); timestamp.ok())
    Require(timestamp->value.snapshot.version >= 1);
  if (const auto snapshot = ParseSnapshot(bytes); snapshot.ok())
    for (const auto& [name, file] : snapshot->value.meta)
      Require(name.find('/') == name.npos && file.version >= 1);
  if (const auto targets = ParseTargets(bytes); targets.ok()) {
    for (const auto& [path, file] : targets->value.targets) {
      Require(file.sha256.size() == 32);
      const auto image = ParseImageInfo(file);
      Require(!image.ok() || image->min_counter <= image->counter);
      if (targets->value.delegations)
        for (const auto& role : targets->value.delegations->roles)
          DelegationMatches(role, path);
    }
  }
  return 0;
}
