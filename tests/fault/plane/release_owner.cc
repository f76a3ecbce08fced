#include <gtest/gtest.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "tests/fault/plane/owners.h"

namespace shoal::testing {
namespace {

constexpr size_t kChunk = 32'768;

}  // namespace

absl::Status ReleaseOwner::Work(cli::PlaneClient& plane) {
  // The first one at once, for the rollouts; the others now and then.
  if (created_ == images_.size() || (created_ > 0 && Below(12) != 0))
    return absl::OkStatus();
  open_ = true;
  SHOAL_RETURN_IF_ERROR(Upload(plane, images_[created_]));
  open_ = false;
  ++created_;
  Acknowledged();
  return absl::OkStatus();
}

absl::Status ReleaseOwner::Upload(cli::PlaneClient& plane, const Image& image) {
  release::v1::CreateReleaseHeader header;
  header.set_device_type("gateway");
  header.set_version(image.version);
  header.set_metadata(metadata_);
  size_t sent = 0;
  return plane
      .CreateRelease(header,
                     [&]() -> absl::StatusOr<std::string> {
                       const std::string chunk = image.bytes.substr(
                           std::min(sent, image.bytes.size()), kChunk);
                       sent += chunk.size();
                       return chunk;
                     })
      .status();
}

void ReleaseOwner::Check(cli::PlaneClient& plane) {
  for (size_t i = 0; i < images_.size() && i <= created_; ++i) {
    const Image& image = images_[i];
    release::v1::GetReleaseRequest request;
    request.set_name("releases/gateway/" + image.version);
    const auto release = plane.GetRelease(request);
    const bool acknowledged = i < created_;
    if (!acknowledged && absl::IsNotFound(release.status())) continue;
    ASSERT_TRUE(release.ok()) << request.name() << ": " << release.status();
    if (!acknowledged) {
      ASSERT_TRUE(open_) << request.name() << " was not asked for";
      ++created_;
      open_ = false;
    }
    const std::string digest = HexEncode(crypto::Sha256Digest(image.bytes));
    EXPECT_EQ(release->sha256(), digest);
    const auto blob = RealFileSystem().Read(JoinPath(blobs_, digest), 1u << 24);
    ASSERT_TRUE(blob.ok()) << "a release without its bytes: " << blob.status();
    EXPECT_EQ(*blob == image.bytes, true) << "the image's bytes are damaged";
    if (!acknowledged) break;
  }
  open_ = false;
}

}  // namespace shoal::testing
