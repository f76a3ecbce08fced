#include "agent/link/inventory.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string_view>

namespace shoal::agent {
namespace {

constexpr size_t kMaxValue = 64;
constexpr size_t kMaxFile = 16 << 10;

std::string Printable(std::string_view text) {
  // Device trees end their texts with a zero byte, files with a line end.
  while (!text.empty() &&
         (text.back() == '\0' || text.back() == '\n' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  std::string out;
  for (const char c : text.substr(0, kMaxValue))
    out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

// At most kMaxFile bytes; empty: not there.
std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(kMaxFile, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

// VALUE of a line KEY=VALUE or KEY="VALUE".
std::string Assigned(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key + "=", 0) != 0) continue;
    std::string value = line.substr(key.size() + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return value;
  }
  return "";
}

std::string Model(const std::string& root) {
  std::string model = Printable(ReadFile(root + "/proc/device-tree/model"));
  if (!model.empty()) return model;
  const std::string dmi = root + "/sys/class/dmi/id/";
  const std::string vendor = Printable(ReadFile(dmi + "sys_vendor"));
  const std::string product = Printable(ReadFile(dmi + "product_name"));
  return Printable(vendor.empty() ? product : vendor + " " + product);
}

std::string OperatingSystem(const std::string& root) {
  const std::string release = ReadFile(root + "/etc/os-release");
  const std::string id = Assigned(release, "ID");
  const std::string version = Assigned(release, "VERSION_ID");
  return Printable(version.empty() ? id : id + " " + version);
}

// Interface of the default route with the lowest metric; empty: none.
std::string DefaultInterface(const std::string& root) {
  std::istringstream v4(ReadFile(root + "/proc/net/route"));
  std::string best;
  uint64_t best_metric = UINT64_MAX;
  std::string line;
  std::getline(v4, line);  // header
  while (std::getline(v4, line)) {
    std::istringstream words(line);
    std::string name, destination, gateway, flags, ref, use;
    uint64_t metric = 0;
    words >> name >> destination >> gateway >> flags >> ref >> use >> metric;
    if (words && destination == "00000000" && metric < best_metric) {
      best = name;
      best_metric = metric;
    }
  }
  if (!best.empty()) return best;
  // destination, its prefix length, source, its prefix length, next hop,
  // metric, two counters, flags, name.
  std::istringstream v6(ReadFile(root + "/proc/net/ipv6_route"));
  while (std::getline(v6, line)) {
    std::istringstream words(line);
    std::string destination, length, word, name;
    words >> destination >> length;
    for (int i = 0; i < 7; ++i) words >> word;
    words >> name;
    if (words && length == "00" && name != "lo" &&
        destination.find_first_not_of('0') == std::string::npos)
      return name;
  }
  return "";
}

std::string Network(const std::string& root) {
  const std::string name = DefaultInterface(root);
  // It becomes part of a path.
  if (name.empty() || name.find('/') != std::string::npos) return "none";
  const std::string device = root + "/sys/class/net/" + name;
  const std::string kind = Assigned(ReadFile(device + "/uevent"), "DEVTYPE");
  const auto begins = [&](std::string_view text) {
    return name.rfind(text, 0) == 0;
  };
  if (kind == "wlan" || ::access((device + "/wireless").c_str(), F_OK) == 0)
    return "wifi";
  if (kind == "wwan" || begins("wwan") || begins("ppp") || begins("rmnet"))
    return "cellular";
  if (begins("tun") || begins("wg") || kind == "wireguard") return "tunnel";
  return "ethernet";
}

// The two leading digits, the rest zero.
uint64_t TwoDigits(uint64_t value) {
  uint64_t scale = 1;
  while (value / scale >= 100) scale *= 10;
  return value / scale * scale;
}

}  // namespace

std::map<std::string, std::string> Inventory(
    const std::string& data_directory, const std::string& slot,
    const rules::DeltaAbilities& deltas, const std::string& root) {
  std::map<std::string, std::string> facts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts[name] = value;
  };
  add("model", Model(root));
  add("os", OperatingSystem(root));
  add("network", Network(root));
  add("slot", Printable(slot));
  struct utsname name {};
  if (::uname(&name) == 0) {
    if (facts.find("os") == facts.end()) add("os", Printable(name.sysname));
    add("kernel", Printable(name.release));
    add("arch", Printable(name.machine));
    add("hostname", Printable(name.nodename));
  }
  struct sysinfo info {};
  if (::sysinfo(&info) == 0)
    add("memory_kb",
        std::to_string(uint64_t{info.totalram} * info.mem_unit / 1024));
  if (const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN); cpus > 0)
    add("cpus", std::to_string(cpus));
  struct statvfs disk {};
  if (::statvfs(data_directory.c_str(), &disk) == 0) {
    constexpr uint64_t kMb = 1'000'000;
    add("disk_mb",
        std::to_string(uint64_t{disk.f_blocks} * disk.f_frsize / kMb));
    add("disk_free_mb", std::to_string(TwoDigits(uint64_t{disk.f_bavail} *
                                                 disk.f_frsize / kMb)));
  }
  std::map<std::string, std::string> told;
  rules::TellDeltaAbilities(deltas, told);
  for (const auto& [key, value] : told) add(key.c_str(), Printable(value));
  return facts;
}

}  // namespace shoal::agent
