#include "server/store/requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <vector>

#include "common/crypto/hash.h"
#include "server/store/state.pb.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kKept = absl::Hours(24);

std::string Digest(const google::protobuf::MessageLite& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps have no order
    request.SerializeToCodedStream(&coded);
  }
  return crypto::Sha256Digest(bytes);
}

std::string Key(std::string_view method, std::string_view principal,
                std::string_view id) {
  std::string key(method);
  key.append("/").append(principal).append("/").append(id);
  return key;
}

}  // namespace

absl::StatusOr<bool> FindRequest(const Transaction& tx, std::string_view method,
                                 std::string_view principal,
                                 const std::string& request_id,
                                 const google::protobuf::MessageLite& request,
                                 google::protobuf::MessageLite& response) {
  if (request_id.empty()) return false;
  if (request_id.size() > 128) {
    return InvalidArgument("bad_request_id", "longer than 128 characters");
  }
  auto row =
      tx.Get<store::RequestRow>(kRequests, Key(method, principal, request_id));
  if (absl::IsNotFound(row.status())) return false;
  SHOAL_RETURN_IF_ERROR(row);
  if (row->request_sha256() != Digest(request)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "request_id_reused",
                     "this request_id came before with another request");
  }
  if (!response.ParseFromString(row->response())) {
    return DataLoss("bad_row", "a remembered answer is damaged");
  }
  return true;
}

void RememberRequest(Transaction& tx, std::string_view method,
                     std::string_view principal, const std::string& request_id,
                     const google::protobuf::MessageLite& request,
                     const google::protobuf::MessageLite& response) {
  if (request_id.empty()) return;
  store::RequestRow row;
  row.set_request_sha256(Digest(request));
  row.set_response(response.SerializeAsString());
  row.set_expires(absl::ToUnixSeconds(tx.store().clock().WallNow() + kKept));
  tx.Put(kRequests, Key(method, principal, request_id), row);
}

absl::Status ForgetOldRequests(Store& store) {
  const int64_t now = absl::ToUnixSeconds(store.clock().WallNow());
  std::vector<std::string> old;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::RequestRow>(
      kRequests, "", "",
      [&](std::string_view key, const store::RequestRow& row) {
        if (row.expires() < now) old.emplace_back(key);
        return true;
      }));
  if (old.empty()) return absl::OkStatus();
  Transaction tx(store);
  for (const std::string& key : old) tx.Delete(kRequests, key);
  return tx.Commit();
}

}  // namespace shoal::server
