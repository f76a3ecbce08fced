// page_size and page_token of list requests: the token is the last key seen,
// in hex.
#ifndef SHOAL_SERVER_STORE_PAGING_H_
#define SHOAL_SERVER_STORE_PAGING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes.h"
#include "common/status.h"

namespace shoal::server {

struct PageRequest {
  size_t size = 50;
  std::string after;  // key
};

// 0 means 50, more than 1,000 means 1,000. kInvalidArgument "bad_page_size",
// "bad_page_token".
inline absl::StatusOr<PageRequest> ParsePage(int32_t size,
                                             const std::string& token) {
  if (size < 0) {
    return InvalidArgument("bad_page_size", "page_size is negative");
  }
  PageRequest page;
  if (size > 0) page.size = size > 1000 ? 1000 : static_cast<size_t>(size);
  auto after = HexDecode(token);
  if (!after.ok() || token.size() > 1024) {
    return InvalidArgument("bad_page_token",
                           "page_token is not one that this server gave");
  }
  page.after = *std::move(after);
  return page;
}

inline std::string PageToken(std::string_view last_key) {
  return HexEncode(last_key);
}

}  // namespace shoal::server

#endif  // SHOAL_SERVER_STORE_PAGING_H_
