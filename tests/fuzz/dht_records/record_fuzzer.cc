// VerifyRecord on anything: it may only accept what the director signed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/status.h"
#include "dht/records/record.h"

namespace {

using namespace shoal::dht;

// A resolver that says yes to every writer and kind, with a key that nobody
// has: what gets through all checks fails at the signature.
absl::StatusOr<Writer> Anybody(const RecordBody& body, absl::Time) {
  using namespace shoal::records::v1;
  for (const WriterClass writer : {WRITER_CLASS_DIRECTOR, WRITER_CLASS_DEVICE,
                                   WRITER_CLASS_OPERATOR, WRITER_CLASS_CLAIM})
    if (MayWrite(writer, body.kind()))
      return Writer{writer, std::string(16, 'i'), std::string(32, 'k')};
  return shoal::PermissionDenied("foreign", "no such kind");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const PlaceNamer* places = new PlaceNamer(std::string(32, 'p'));
  static const WriterResolver* resolver =
      new WriterResolver(CachingResolver(Anybody, 16));
  const std::string fleet(32, 'f');
  const auto record =
      VerifyRecord(std::string_view(reinterpret_cast<const char*>(data), size),
                   {fleet, places, *resolver, absl::FromUnixSeconds(1000)});
  if (record.ok()) std::abort();
  return 0;
}
