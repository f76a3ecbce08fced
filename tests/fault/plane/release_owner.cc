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
  // The first one at once, for the rollouts; the others come and go now and
  // then.
  if (there_[0] && Below(12) != 0) return absl::OkStatus();
  const size_t i =
      there_[0] ? 1 + Below(static_cast<uint32_t>(images_.size()) - 1) : 0;
  open_ = i;
  SHOAL_RETURN_IF_ERROR(there_[i] ? Delete(plane, images_[i])
                                  : Upload(plane, images_[i]));
  open_.reset();
  there_[i] = !there_[i];
  Acknowledged();
  return absl::OkStatus();
}

absl::Status ReleaseOwner::Delete(cli::PlaneClient& plane, const Image& image) {
  release::v1::DeleteReleaseRequest request;
  request.set_name("releases/gateway/" + image.version);
  // An abort of a rollout to the first one might lead to it.
  request.set_allow_in_use(true);
  // A rollout that begins or ends in between is no reason not to.
  for (;;) {
    const absl::Status deleted = plane.DeleteRelease(request).status();
    if (ReasonOf(deleted) != "changed_meanwhile") return deleted;
  }
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

void ReleaseOwner::CheckBytes(const Image& image, bool there) const {
  const std::string digest = HexEncode(crypto::Sha256Digest(image.bytes));
  const std::string path = JoinPath(blobs_, digest);
  if (!there) {
    EXPECT_FALSE(RealFileSystem().Exists(path))
        << image.version << " left its bytes behind";
    return;
  }
  const auto blob = RealFileSystem().Read(path, 1u << 24);
  ASSERT_TRUE(blob.ok()) << "a release without its bytes: " << blob.status();
  EXPECT_EQ(*blob == image.bytes, true) << "the image's bytes are damaged";
}

void ReleaseOwner::Check(cli::PlaneClient& plane) {
  for (size_t i = 0; i < images_.size(); ++i) {
    release::v1::GetReleaseRequest request;
    request.set_name("releases/gateway/" + images_[i].version);
    const auto release = plane.GetRelease(request);
    const bool there = !absl::IsNotFound(release.status());
    ASSERT_TRUE(release.ok() || !there)
        << request.name() << ": " << release.status();
    if (there != there_[i]) {
      ASSERT_EQ(open_, i) << request.name()
                          << (there ? " is back" : " is gone");
      there_[i] = there;
    }
    ASSERT_NO_FATAL_FAILURE(CheckBytes(images_[i], there));
  }
  open_.reset();
}

}  // namespace shoal::testing
