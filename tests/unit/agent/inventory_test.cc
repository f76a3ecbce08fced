#include "agent/link/inventory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace shoal::agent {
namespace {

class InventoryTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = dir_.File("root") + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  std::map<std::string, std::string> Facts() {
    return Inventory(dir_.path(), "a",
                     {true,
                      true,
                      8u << 20,
                      {3, {"zlib 1.2.13", "lz4 1.9.4", "lz4 1.9.4 (64 bit)"}}},
                     dir_.File("root"));
  }
  testing::TempDir dir_;
};

TEST_F(InventoryTest, OfABoardWithADeviceTree) {
  Write("/proc/device-tree/model", std::string("Raspberry Pi 4 Model B\0", 23));
  Write("/etc/os-release", "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n");
  Write("/proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n"
        "eth0 00000000 0102A8C0 0003 0 0 600 00000000 0\n"
        "wlan0 00000000 0102A8C0 0003 0 0 100 00000000 0\n"
        "eth0 0002A8C0 00000000 0001 0 0 0 00FFFFFF 0\n");
  Write("/sys/class/net/wlan0/uevent", "DEVTYPE=wlan\nINTERFACE=wlan0\n");
  auto facts = Facts();
  EXPECT_EQ(facts["model"], "Raspberry Pi 4 Model B");
  EXPECT_EQ(facts["os"], "debian 12");
  EXPECT_EQ(facts["network"], "wifi");
  EXPECT_EQ(facts["slot"], "a");
  EXPECT_EQ(facts["delta.memory"], "8388608");
  EXPECT_EQ(facts["delta.model"], "3");
  EXPECT_EQ(facts["delta.zlib"], "1.2.13");
  EXPECT_EQ(facts["delta.lz4"], "1.9.4 (64 bit)");
  EXPECT_GT(std::stoull(facts["disk_mb"]), 0u);
  EXPECT_GE(std::stoull(facts["disk_mb"]), std::stoull(facts["disk_free_mb"]));
}

TEST_F(InventoryTest, OfAPcBehindAModem) {
  Write("/sys/class/dmi/id/sys_vendor", "ACME\n");
  Write("/sys/class/dmi/id/product_name", "Box \x1b[2J9000\n");
  Write("/proc/net/ipv6_route",
        std::string(32, '0') + " 00 " + std::string(32, '0') + " 00 " +
            std::string(32, 'f') + " 00000400 00000001 00000000 00000003 " +
            "wwan0\n");
  auto facts = Facts();
  EXPECT_EQ(facts["model"], "ACME Box ?[2J9000");
  EXPECT_EQ(facts["network"], "cellular");
}

TEST_F(InventoryTest, StaysSmallWhateverTheSystemSays) {
  Write("/proc/device-tree/model", std::string(100'000, 'x'));
  Write("/etc/os-release", "ID=" + std::string(5000, 'y') + "\n");
  Write("/proc/net/route", std::string(50'000, '\n') + "a b");
  size_t bytes = 0;
  for (const auto& [name, value] : Facts()) {
    EXPECT_LE(value.size(), 64u) << name;
    bytes += name.size() + value.size();
  }
  EXPECT_LT(bytes, 600u);
  EXPECT_EQ(Facts()["network"], "none");
}

}  // namespace
}  // namespace shoal::agent
