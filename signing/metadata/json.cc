#include "signing/metadata/json.h"

#include <fmt/format.h>

#include <vector>

#include "common/status.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {
namespace {

using nlohmann::json;

// Builds the value event by event, so that what is refused never takes shape.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(JsonKeys keys) : keys_(keys) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool v) override { return Add(v) != nullptr; }
  bool number_integer(number_integer_t v) override {
    if (v < -kMaxJsonInteger) return Refuse("an integer below -2^53");
    return Add(v) != nullptr;
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (v > static_cast<uint64_t>(kMaxJsonInteger))
      return Refuse("an integer of 2^53 or more");
    return Add(v) != nullptr;
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Refuse(fmt::format("the number {:.40}, which is no integer", text));
  }
  bool string(string_t& v) override {
    if (v.find('\0') != v.npos) return Refuse("a string with a NUL");
    return Add(std::move(v)) != nullptr;
  }
  bool binary(binary_t&) override { return Refuse("binary data"); }
  bool start_object(size_t) override { return Open(json::object()); }
  bool start_array(size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& v) override {
    for (const char c : v) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f)
        return Refuse("a key with a control character");
      if (byte > 0x7f && keys_ == JsonKeys::kAscii)
        return Refuse("a key that is not ASCII");
    }
    if (stack_.back()->contains(v))
      return Refuse(fmt::format("the key '{:.40}' twice", v));
    key_ = std::move(v);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Refuse(fmt::format("a syntax error at byte {}", position));
  }

  json& result() { return root_; }
  const std::string& problem() const { return problem_; }

 private:
  bool Refuse(std::string what) {
    problem_ = std::move(what);
    return false;
  }
  // nullptr when there are too many values.
  template <typename T>
  json* Add(T&& value) {
    if (++values_ > kMaxJsonValues) {
      problem_ = fmt::format("more than {} values", kMaxJsonValues);
      return nullptr;
    }
    if (stack_.empty()) {
      root_ = std::forward<T>(value);
      return &root_;
    }
    json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::forward<T>(value));
      return &parent.back();
    }
    json& slot = parent[key_];
    slot = std::forward<T>(value);
    return &slot;
  }
  bool Open(json container) {
    if (stack_.size() >= static_cast<size_t>(kMaxJsonDepth))
      return Refuse(fmt::format("nesting deeper than {}", kMaxJsonDepth));
    json* const added = Add(std::move(container));
    if (added == nullptr) return false;
    stack_.push_back(added);
    return true;
  }
  bool Close() {
    stack_.pop_back();
    return true;
  }

  const JsonKeys keys_;
  size_t values_ = 0;
  json root_;
  // Stable: a container's elements are only appended while it is on top, and
  // pointers below the top point into containers that do not grow meanwhile.
  std::vector<json*> stack_;
  std::string key_;
  std::string problem_;
};

void AppendString(std::string& out, const std::string& s) {
  out.push_back('"');
  for (const char c : s) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

void Append(std::string& out, const json& value) {
  switch (value.type()) {
    case json::value_t::object: {
      // nlohmann's object is a std::map<std::string, …>: already by bytes.
      out.push_back('{');
      bool first = true;
      for (const auto& [key, member] : value.items()) {
        if (!first) out.push_back(',');
        first = false;
        AppendString(out, key);
        out.push_back(':');
        Append(out, member);
      }
      out.push_back('}');
      return;
    }
    case json::value_t::array: {
      out.push_back('[');
      bool first = true;
      for (const json& element : value) {
        if (!first) out.push_back(',');
        first = false;
        Append(out, element);
      }
      out.push_back(']');
      return;
    }
    case json::value_t::string:
      AppendString(out, value.get_ref<const std::string&>());
      return;
    case json::value_t::boolean:
      out.append(value.get<bool>() ? "true" : "false");
      return;
    case json::value_t::number_integer:
      out.append(std::to_string(value.get<int64_t>()));
      return;
    case json::value_t::number_unsigned:
      out.append(std::to_string(value.get<uint64_t>()));
      return;
    default:
      out.append("null");
      return;
  }
}

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, uint64_t max_bytes,
                                     JsonKeys keys) {
  if (text.size() > max_bytes)
    return ResourceExhausted(
        "metadata_too_large",
        fmt::format("{} bytes where {} are allowed", text.size(), max_bytes));
  // nlohmann skips a byte order mark; nothing else would.
  if (text.substr(0, 3) == "\xef\xbb\xbf")
    return InvalidArgument("bad_metadata", "JSON with a byte order mark");
  StrictBuilder builder(keys);
  try {
    if (!json::sax_parse(text, &builder))
      return InvalidArgument("bad_metadata", "JSON has " + builder.problem());
  } catch (const json::exception& e) {
    return InvalidArgument("bad_metadata", e.what());
  }
  return std::move(builder.result());
}

std::string Canonicalize(const json& value) {
  std::string out;
  Append(out, value);
  return out;
}

absl::StatusOr<std::string> CanonicalJson(std::string_view text,
                                          uint64_t max_bytes) {
  SHOAL_ASSIGN_OR_RETURN(const json value, ParseStrictJson(text, max_bytes));
  return Canonicalize(value);
}

}  // namespace shoal::signing
