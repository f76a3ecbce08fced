#include "rules/approval.h"

#include <map>
#include <string_view>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "rules/access.h"

namespace shoal::rules {
namespace {

class Encoder {
 public:
  void Number(uint64_t value, int width) {
    AppendBigEndian(text_, value, width);
  }
  void Text(std::string_view text) {
    Number(text.size(), 4);
    text_ += text;
  }
  template <typename List>
  void Texts(const List& list) {
    Number(static_cast<uint64_t>(list.size()), 4);
    for (const std::string& text : list) Text(text);
  }
  template <typename Map>
  void Labels(const Map& labels) {
    Number(labels.size(), 4);
    for (const auto& [key, value] :
         std::map<std::string, std::string>(labels.begin(), labels.end())) {
      Text(key);
      Text(value);
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void AddRelease(const rollout::v1::ReleaseRef& release, Encoder& out) {
  out.Text(release.sha256());
  out.Number(release.counter(), 8);
}

}  // namespace

std::string ApprovalInput(const rollout::v1::RolloutDocument& document,
                          uint32_t phase) {
  Encoder out;
  out.Number(phase, 4);
  out.Text(document.id());
  out.Text(document.device_type());
  AddRelease(document.release(), out);
  out.Number(static_cast<uint64_t>(document.previous_size()), 4);
  for (const auto& previous : document.previous()) AddRelease(previous, out);
  out.Text(document.only_running_sha256());
  out.Number(static_cast<uint64_t>(document.expires()), 8);
  out.Number(document.error_threshold_permille(), 4);
  out.Number(document.unattended() ? 1 : 0, 4);
  const auto& selector = document.selector();
  out.Number(selector.all() ? 1 : 0, 4);
  out.Texts(selector.device_types());
  out.Texts(selector.device_ids());
  out.Labels(selector.labels());
  out.Texts(selector.groups());
  out.Number(static_cast<uint64_t>(document.phases_size()), 4);
  for (const auto& one : document.phases()) {
    out.Text(one.name());
    out.Number(one.threshold(), 8);
    out.Labels(one.labels());
    out.Texts(one.groups());
    out.Number(static_cast<uint64_t>(one.gate().soak_ms()), 8);
    out.Number(static_cast<uint64_t>(one.gate().settle_ms()), 8);
    out.Number(one.gate().success_permille(), 4);
    out.Number(one.gate().min_outcomes(), 4);
    out.Number(one.gate().manual() ? 1 : 0, 4);
    out.Number(one.gate().approvals(), 4);
    out.Texts(one.gate().approvers());
  }
  return crypto::SigningInput("shoal.rollout.approval.v2", document.fleet(),
                              crypto::Sha256Digest(out.text()));
}

std::set<std::string> SignedApprovers(
    const rollout::v1::RolloutDocument& document, uint32_t phase,
    const policy::v1::AccessPolicy& policy) {
  std::set<std::string> names;
  for (const auto& approval : document.approvals()) {
    if (approval.phase() < phase) continue;
    const auto* op = FindOperatorByKey(policy, approval.operator_key());
    if (op == nullptr || names.contains(op->name()) ||
        !Evaluate(policy, PrincipalOf(*op), "rollout.approve", nullptr, {})
             .allowed)
      continue;
    if (crypto::Ed25519Verify(approval.operator_key(),
                              ApprovalInput(document, approval.phase()),
                              approval.signature()))
      names.insert(op->name());
  }
  return names;
}

}  // namespace shoal::rules
