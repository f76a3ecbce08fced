#include "agent/link/inventory.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "rules/delta_abilities.h"

namespace shoal::agent {
namespace {

std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 128))
    out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

}  // namespace

std::map<std::string, std::string> Inventory(uint64_t max_delta_memory) {
  std::map<std::string, std::string> facts;
  struct utsname name {};
  if (::uname(&name) == 0) {
    facts["os"] = Printable(name.sysname);
    facts["kernel"] = Printable(name.release);
    facts["arch"] = Printable(name.machine);
    facts["hostname"] = Printable(name.nodename);
  }
  struct sysinfo info {};
  if (::sysinfo(&info) == 0)
    facts["memory_kb"] =
        std::to_string(uint64_t{info.totalram} * info.mem_unit / 1024);
  if (const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN); cpus > 0)
    facts["cpus"] = std::to_string(cpus);
  // As shoal-patch applies them.
  rules::TellDeltaAbilities(
      {.sdelta1 = true, .bsdiff40 = true, .memory = max_delta_memory}, facts);
  return facts;
}

}  // namespace shoal::agent
