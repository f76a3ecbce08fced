// The lines of a difference in the making: what a report tells in words of its
// own, it takes out of the documents; the rest follows by itself.
#ifndef SHOAL_SIGNING_TOOL_REPORT_H_
#define SHOAL_SIGNING_TOOL_REPORT_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "signing/metadata/metadata.h"
#include "signing/tool/json_rest.h"
#include "signing/tool/tree.h"

namespace shoal::signing {

// One thread. `tree` outlives it.
class Report {
 public:
  using Pointer = JsonRest::Pointer;
  Report(const Tree& tree, JsonRest rest)
      : tree_(tree), rest_(std::move(rest)) {}

  // All lines, those about what nothing told included.
  std::string Take();
  JsonRest& rest() { return rest_; }

  void Line(std::string_view line);
  // The rest of another document, in lines of its own; nothing when empty.
  void More(std::string_view document, const std::string& lines);
  // Entries of two maps from a name to a text that says all of it; `told` takes
  // an entry of one side out of the documents.
  void Entries(
      const std::map<std::string, std::string>& before,
      const std::map<std::string, std::string>& after,
      const std::function<void(JsonRest::Side, const std::string&)>& told);
  void Common(const SignedCommon& before, const SignedCommon& after);
  // One role's threshold and keys. `role` and `keys` are their places.
  void Keys(const std::string& name, const Pointer& role, const Pointer& keys,
            const RoleKeys& before, const std::map<std::string, Key>& old_keys,
            const RoleKeys& after, const std::map<std::string, Key>& new_keys);
  // Keys in hex in the array at `list`.
  void KeyList(const std::string& name, const Pointer& list,
               const std::vector<std::string>& before,
               const std::vector<std::string>& after);
  void OneKey(char sign, const std::string& name, const std::string& key);

 private:
  std::string NameAndKey(const std::string& key) const;
  void ToldKeys(JsonRest::Side side, const Pointer& role, const Pointer& keys,
                const RoleKeys& here, const std::map<std::string, Key>& known,
                const RoleKeys& there,
                const std::map<std::string, Key>& known_there);
  const Tree& tree_;
  JsonRest rest_;
  std::string text_;
};

// What changes in the access policy that two versions of its role name.
absl::Status PolicyDifference(const Tree& tree, const Targets& before,
                              const Targets& after, Report& report);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_REPORT_H_
