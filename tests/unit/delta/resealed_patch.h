// A patch taken apart, to be changed and put together again with checksums
// that are right: what an attacker writes who knows the format. (A signed
// patch cannot be changed so; a signer's mistake could look like it.)
#ifndef SHOAL_TESTS_UNIT_DELTA_RESEALED_PATCH_H_
#define SHOAL_TESTS_UNIT_DELTA_RESEALED_PATCH_H_

#include <string>
#include <string_view>
#include <vector>

#include "delta/format/format.h"

namespace shoal::delta {

struct OpenPatch {
  struct Window {
    std::string header;  // as in the patch, without its checksum
    std::string stored;
  };
  Header header;
  std::string maps;  // as they are, not compressed; empty: none
  std::vector<Window> windows;
};

// `patch` must be whole and right.
OpenPatch TakeApart(std::string_view patch);

// Lengths and checksums made right, also where a window's header is no longer
// readable; the maps are stored as they are.
std::string Seal(const OpenPatch& patch);

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_UNIT_DELTA_RESEALED_PATCH_H_
