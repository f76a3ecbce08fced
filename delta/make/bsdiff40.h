// Writes operations as a classic BSDIFF40 patch (delta/format/bsdiff40.h) that
// any bspatch applies.
#ifndef SHOAL_DELTA_MAKE_BSDIFF40_H_
#define SHOAL_DELTA_MAKE_BSDIFF40_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "delta/format/format.h"

namespace shoal::delta {

// Not thread-safe. Holds the compressed streams in memory until the end, as
// the format puts their lengths first.
class Bsdiff40Writer {
 public:
  // The images must outlive it.
  Bsdiff40Writer(std::string_view old_image, std::string_view new_image);
  ~Bsdiff40Writer();

  // Continues at the place where the one before ended.
  absl::Status Add(const Operation& operation);
  // The whole patch. Once only.
  absl::StatusOr<std::string> Finish();

 private:
  class Stream;
  // Ends the open triple; the next one begins at `old_at` in the base.
  absl::Status EndTriple(uint64_t old_at);

  std::string_view old_, new_;
  std::unique_ptr<Stream> control_, diff_, extra_;
  uint64_t new_at_ = 0;
  uint64_t old_at_ = 0;  // where the open triple's diff ends in the base
  uint64_t add_size_ = 0, extra_size_ = 0;  // of the open triple
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_BSDIFF40_H_
