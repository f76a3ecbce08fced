#include "common/kv/store.h"

namespace shoal::kv {

void WriteBatch::Put(std::string_view cf, std::string_view key,
                     std::string_view value) {
  operations_.push_back(
      {Op::kPut, std::string(cf), std::string(key), std::string(value)});
}

void WriteBatch::Delete(std::string_view cf, std::string_view key) {
  operations_.push_back({Op::kDelete, std::string(cf), std::string(key), {}});
}

void WriteBatch::DeleteRange(std::string_view cf, std::string_view from,
                             std::string_view to) {
  operations_.push_back(
      {Op::kDeleteRange, std::string(cf), std::string(from), std::string(to)});
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty()) {
    const auto last = static_cast<unsigned char>(end.back());
    if (last != 0xff) {
      end.back() = static_cast<char>(last + 1);
      return end;
    }
    end.pop_back();
  }
  return end;
}

}  // namespace shoal::kv
