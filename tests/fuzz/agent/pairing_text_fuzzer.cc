// Texts that people hand to a device: claim tickets, bootstrap files, factory
// credentials. As they are, and with the prefix and base32 put right, so that
// the fields behind them are reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/link/pairing_way.h"
#include "common/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string coded = shoal::Base32Encode(bytes);
  for (const std::string& text : {bytes, "SHOAL1-" + coded}) {
    const auto ticket = shoal::agent::ParseTicket(text);
    if (ticket.ok() && ticket->secret().size() != 16) std::abort();
  }
  for (const std::string& text : {bytes, "SHOALB1-" + coded}) {
    const auto file = shoal::agent::ParseBootstrapFile(text);
    if (file.ok() &&
        (file->endpoints().empty() || file->fleet_id().size() != 32))
      std::abort();
  }
  for (const std::string& text : {bytes, "SHOALF1-" + coded})
    (void)shoal::agent::ParseFactoryCredential(text);
  return 0;
}
