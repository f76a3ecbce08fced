// PlaneTest with devices that are put straight into the store: as many as a
// test likes, without the cryptography of pairing.
#ifndef SHOAL_TESTS_UNIT_SERVER_FLEET_FLEET_FIXTURE_H_
#define SHOAL_TESTS_UNIT_SERVER_FLEET_FLEET_FIXTURE_H_

#include <map>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/fleet/device_list.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {

class FleetTest : public PlaneTest {
 protected:
  // "devices/ID"; ids rise with `number`.
  static std::string Id(uint32_t number) {
    std::string id;
    AppendBigEndian(id, 0, 8);
    AppendBigEndian(id, number, 8);
    return id;
  }
  static std::string Name(uint32_t number) {
    return "devices/" + HexEncode(Id(number));
  }
  static store::DeviceRow NewRow(uint32_t number) {
    store::DeviceRow row;
    row.mutable_assignment()->set_device_id(Id(number));
    row.mutable_assignment()->set_version(1);
    row.mutable_assignment()->set_device_type("gateway");
    row.mutable_device()->set_name(Name(number));
    row.mutable_device()->set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
    row.mutable_device()->set_device_type("gateway");
    row.set_revision(1);
    return row;
  }
  void PutRow(const store::DeviceRow& row) {
    Transaction tx(*store_);
    tx.Put(kDevices, HexEncode(row.assignment().device_id()), row);
    ASSERT_OK(tx.Commit());
  }
  store::DeviceRow RowOf(uint32_t number) {
    auto row = store_->Get<store::DeviceRow>(kDevices, Name(number).substr(8));
    EXPECT_OK(row);
    return row.ok() ? *row : store::DeviceRow();
  }
  void AddDevice(uint32_t number,
                 const std::map<std::string, std::string>& labels = {}) {
    store::DeviceRow row = NewRow(number);
    row.mutable_device()->mutable_labels()->insert(labels.begin(),
                                                   labels.end());
    PutRow(row);
  }
  // Names that a filter finds, in the order of names.
  std::vector<std::string> Found(const std::string& filter) {
    std::vector<std::string> names;
    fleet::v1::ListDevicesRequest request;
    request.set_filter(filter);
    request.set_page_size(1000);
    auto list = ListDevices(*store_, request);
    EXPECT_OK(list) << filter;
    if (list.ok()) {
      for (const auto& device : list->devices()) names.push_back(device.name());
    }
    return names;
  }
};

}  // namespace shoal::server

#endif  // SHOAL_TESTS_UNIT_SERVER_FLEET_FLEET_FIXTURE_H_
