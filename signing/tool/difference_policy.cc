// The access policy, as people read it.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "common/status.h"
#include "signing/tool/checks.h"
#include "signing/tool/report.h"

namespace shoal::signing {
namespace {

using Json = JsonRest::Json;
using Pointer = JsonRest::Pointer;

absl::StatusOr<Json> ToJson(const google::protobuf::Message& message) {
  std::string text;
  if (const auto status =
          google::protobuf::util::MessageToJsonString(message, &text);
      !status.ok())
    return InvalidArgument("bad_policy", status.ToString());
  return Json::parse(text);
}

// The elements of the array `list` by what `key` calls them.
std::map<std::string, Json> ByName(const Json& policy, const char* list,
                                   const char* key) {
  std::map<std::string, Json> entries;
  if (policy.contains(list))
    for (const Json& one : policy[list]) entries[one.value(key, "")] = one;
  return entries;
}

class PolicyReport {
 public:
  PolicyReport(Report& report, Json before, Json after)
      : report_(report),
        before_(std::move(before)),
        after_(std::move(after)),
        rest_(before_, after_) {}

  void Elements(const std::string& what, const char* list, const char* key) {
    const std::map<std::string, Json> by_name[] = {ByName(before_, list, key),
                                                   ByName(after_, list, key)};
    std::map<std::string, std::string> texts[2];
    for (const int side : {0, 1})
      for (const auto& [name, one] : by_name[side])
        texts[side][what + " " + name] = one.dump(-1, ' ', true);
    report_.Entries(
        texts[0], texts[1], [&](JsonRest::Side side, const std::string& shown) {
          rest_.ToldElement(side, Pointer() / list,
                            by_name[side].at(shown.substr(what.size() + 1)));
        });
  }
  void Revoked(const std::string& what, const char* list) {
    const auto read = [&](const Json& policy) {
      std::map<std::string, std::string> lines;
      const Json& all = policy.value("revocations", Json::object());
      if (all.contains(list))
        for (const Json& key : all[list])
          lines["revoked " + what + " " + key.get<std::string>()] = "";
      return lines;
    };
    report_.Entries(read(before_), read(after_),
                    [&](JsonRest::Side side, const std::string& shown) {
                      rest_.ToldElement(side, Pointer() / "revocations" / list,
                                        shown.substr(shown.rfind(' ') + 1));
                    });
  }
  void Version() {
    for (const JsonRest::Side side : {JsonRest::kBefore, JsonRest::kAfter})
      rest_.Told(side, Pointer(), "version");
  }
  std::string Rest() const { return rest_.Lines(); }

 private:
  Report& report_;
  const Json before_;
  const Json after_;
  JsonRest rest_;
};

}  // namespace

absl::Status PolicyDifference(const Tree& tree, const Targets& before,
                              const Targets& after, Report& report) {
  const auto read =
      [&](const Targets& t) -> absl::StatusOr<policy::v1::AccessPolicy> {
    SHOAL_ASSIGN_OR_RETURN(const std::string json, ReadPolicyOf(tree, t));
    if (json.empty()) return policy::v1::AccessPolicy();
    return ParseAccessPolicy(json);
  };
  SHOAL_ASSIGN_OR_RETURN(const auto old, read(before));
  SHOAL_ASSIGN_OR_RETURN(const auto next, read(after));
  SHOAL_ASSIGN_OR_RETURN(Json old_json, ToJson(old));
  SHOAL_ASSIGN_OR_RETURN(Json next_json, ToJson(next));
  if (old.version() != next.version())
    report.Line(fmt::format("access policy version {}, was {}", next.version(),
                            old.version()));
  PolicyReport policy(report, std::move(old_json), std::move(next_json));
  policy.Version();
  policy.Elements("operator", "operators", "name");
  policy.Elements("rule", "rules", "name");
  policy.Elements("labels of", "deviceLabels", "deviceId");
  policy.Revoked("operator", "operatorKeys");
  policy.Revoked("node", "nodeKeys");
  policy.Revoked("device_ca", "deviceCaKeys");
  report.More("access policy", policy.Rest());
  return absl::OkStatus();
}

}  // namespace shoal::signing
