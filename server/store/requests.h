// Idempotence by request_id: the answer of the first call is kept with the
// change it made, for a day, and given again to whoever repeats the call.
#ifndef SHOAL_SERVER_STORE_REQUESTS_H_
#define SHOAL_SERVER_STORE_REQUESTS_H_

#include <google/protobuf/message_lite.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/store/store.h"

namespace shoal::server {

// True: `response` is the first call's. An empty `request_id`: false.
// kInvalidArgument "bad_request_id"; kAlreadyExists "request_id_reused" when
// the id came before with another request.
absl::StatusOr<bool> FindRequest(const Transaction& tx, std::string_view method,
                                 std::string_view principal,
                                 const std::string& request_id,
                                 const google::protobuf::MessageLite& request,
                                 google::protobuf::MessageLite& response);

void RememberRequest(Transaction& tx, std::string_view method,
                     std::string_view principal, const std::string& request_id,
                     const google::protobuf::MessageLite& request,
                     const google::protobuf::MessageLite& response);

// Removes answers older than a day.
absl::Status ForgetOldRequests(Store& store);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_STORE_REQUESTS_H_
