// What fw- targets say beyond length and digest: needs, hardware, attachments.
#include "signing/metadata/image_info.h"

#include <gtest/gtest.h>

#include "common/status.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using shoal::testing::FailsBecause;

TargetFile Target(const std::string& name, const std::string& custom) {
  TargetFile target;
  target.path = ImagePath("gateway", "1.4.0", name);
  target.length = 100;
  target.sha256 = std::string(32, 's');
  target.custom = custom;
  return target;
}

ImageInfo Image() {
  return {"gateway",
          "1.4.0",
          "image",
          7,
          3,
          std::string(32, 'r'),
          16384,
          {"rev-a", "rev-b"},
          {{"modem", 5}}};
}

TEST(ImageInfoTest, NeedsAndHardwareAreReadAsTheyAreWritten) {
  ASSERT_OK_AND_ASSIGN(
      const ImageInfo read,
      ParseImageInfo(Target("image", FormatImageInfo(Image()))));
  EXPECT_EQ(read.hardware, Image().hardware);
  EXPECT_EQ(read.needs, Image().needs);
  ImageInfo plain = Image();
  plain.hardware.clear();
  plain.needs.clear();
  const std::string text = FormatImageInfo(plain);
  EXPECT_EQ(text.find("requires"), std::string::npos) << "as ever";
  EXPECT_OK(ParseImageInfo(Target("image", text)));
}

TEST(ImageInfoTest, WhatIsWrongInThemIsRefused) {
  const std::string good = FormatImageInfo(Image());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return ParseImageInfo(Target("image", text));
  };
  const std::string needs = R"([{"artifact":"modem","min_counter":5}])";
  for (const char* other :
       {R"([])", R"({})", R"("modem")", R"([{"artifact":"modem"}])",
        R"([{"artifact":"modem","min_counter":-1}])",
        R"([{"artifact":"a b","min_counter":1}])",
        R"([{"artifact":"image","min_counter":1}])", R"([7])"}) {
    EXPECT_THAT(with(needs, other), FailsBecause("bad_image_info")) << other;
  }
  const std::string hardware = R"(["rev-a","rev-b"])";
  for (const char* other :
       {R"([])", R"("rev-a")", R"(["a b"])", R"([1])"}) {
    EXPECT_THAT(with(hardware, other), FailsBecause("bad_image_info")) << other;
  }
  ImageInfo many = Image();
  many.needs.assign(17, {"modem", 1});
  EXPECT_THAT(ParseImageInfo(Target("image", FormatImageInfo(many))),
              FailsBecause("bad_image_info"));
}

TEST(ImageInfoTest, AnAttachmentIsNoImageAndAnImageNoAttachment) {
  const AttachmentInfo info{
      "gateway", "1.4.0", "sbom", "application/spdx+json", std::string(32, 'r'),
      16384};
  const TargetFile target = Target("sbom", FormatAttachmentInfo(info));
  EXPECT_TRUE(IsAttachment(target));
  ASSERT_OK_AND_ASSIGN(const AttachmentInfo read, ParseAttachmentInfo(target));
  EXPECT_EQ(read.name, "sbom");
  EXPECT_EQ(read.media_type, "application/spdx+json");
  EXPECT_THAT(ParseImageInfo(target), FailsBecause("bad_image_info"));
  const TargetFile image = Target("image", FormatImageInfo(Image()));
  EXPECT_FALSE(IsAttachment(image));
  EXPECT_THAT(ParseAttachmentInfo(image), FailsBecause("bad_image_info"));
  ASSERT_OK_AND_ASSIGN(const BulkInfo bulk, ParseBulkInfo(target));
  EXPECT_EQ(bulk.piece_length, 16384u);

  TargetFile odd = target;
  odd.path = ImagePath("gateway", "1.4.0", "provenance");
  EXPECT_THAT(ParseAttachmentInfo(odd), FailsBecause("bad_image_info"));
  odd = target;
  odd.length = kMaxAttachmentBytes + 1;
  EXPECT_THAT(ParseAttachmentInfo(odd), FailsBecause("bad_image_info"));
  AttachmentInfo media = info;
  media.media_type = "text/plain\n";
  EXPECT_THAT(ParseAttachmentInfo(Target("sbom", FormatAttachmentInfo(media))),
              FailsBecause("bad_image_info"));
}

}  // namespace
}  // namespace shoal::signing
