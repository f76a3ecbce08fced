#include "server/cli/output.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/bytes.h"

namespace shoal::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

constexpr uint64_t kSafe = uint64_t{1} << 53;

Json Unsigned(uint64_t value) {
  if (value <= kSafe) return value;
  return std::to_string(value);
}
Json Signed(int64_t value) {
  if (value >= -static_cast<int64_t>(kSafe) &&
      value <= static_cast<int64_t>(kSafe)) {
    return value;
  }
  return std::to_string(value);
}
Json Double(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : (value > 0 ? "Infinity" : "-Infinity");
}

Json ToJson(const Message& message);

// The value at `index` of a repeated field, or of a single one for -1.
Json Value(const Message& m, const FieldDescriptor* f, int index) {
  const Reflection* r = m.GetReflection();
  const bool one = index < 0;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? r->GetInt32(m, f) : r->GetRepeatedInt32(m, f, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return Signed(one ? r->GetInt64(m, f) : r->GetRepeatedInt64(m, f, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r->GetUInt32(m, f) : r->GetRepeatedUInt32(m, f, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Unsigned(one ? r->GetUInt64(m, f)
                          : r->GetRepeatedUInt64(m, f, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Double(one ? r->GetDouble(m, f)
                        : r->GetRepeatedDouble(m, f, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Double(one ? r->GetFloat(m, f) : r->GetRepeatedFloat(m, f, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? r->GetBool(m, f) : r->GetRepeatedBool(m, f, index);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value =
          one ? r->GetEnum(m, f) : r->GetRepeatedEnum(m, f, index);
      return value->name();
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          one ? r->GetString(m, f) : r->GetRepeatedString(m, f, index);
      return f->type() == FieldDescriptor::TYPE_BYTES ? HexEncode(text) : text;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(one ? r->GetMessage(m, f)
                        : r->GetRepeatedMessage(m, f, index));
  }
  std::abort();  // every type of protobuf stands above
}

std::string MapKey(const Message& entry, const FieldDescriptor* key) {
  const Json value = Value(entry, key, -1);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Json ToJson(const Message& message) {
  Json out = Json::object();
  const Reflection* r = message.GetReflection();
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* f = descriptor->field(i);
    if (f->is_map()) {
      std::vector<std::pair<std::string, Json>> entries;
      for (int k = 0; k < r->FieldSize(message, f); ++k) {
        const Message& entry = r->GetRepeatedMessage(message, f, k);
        const auto* type = entry.GetDescriptor();
        entries.emplace_back(MapKey(entry, type->map_key()),
                             Value(entry, type->map_value(), -1));
      }
      std::sort(entries.begin(), entries.end(),
                [](const auto& a, const auto& b) { return a.first < b.first; });
      Json object = Json::object();
      for (auto& [key, value] : entries) object[key] = std::move(value);
      out[f->name()] = std::move(object);
    } else if (f->is_repeated()) {
      Json list = Json::array();
      for (int k = 0; k < r->FieldSize(message, f); ++k) {
        list.push_back(Value(message, f, k));
      }
      out[f->name()] = std::move(list);
    } else if (!f->has_presence() || r->HasField(message, f)) {
      out[f->name()] = Value(message, f, -1);
    }
  }
  return out;
}

std::string Dump(const Json& json, bool pretty) {
  return json.dump(pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

// May this stand in YAML without quotes and be read as the same text? Words
// that some readers take for something else are quoted.
bool IsPlainYaml(const std::string& text) {
  if (text.empty()) return false;
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (!letter(text.front())) return false;
  for (const char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '/' &&
        c != '.' && c != '-') {
      return false;
    }
  }
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (const char* word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (lower == word) return false;
  }
  return true;
}

std::string YamlScalar(const Json& json) {
  if (json.is_string() && IsPlainYaml(json.get<std::string>())) {
    return json.get<std::string>();
  }
  return Dump(json, false);  // JSON's scalars are YAML's
}

void AppendYaml(const Json& json, size_t indent, std::string& out) {
  const std::string blanks(indent, ' ');
  const auto value = [&](const Json& inner, size_t deeper, bool in_list) {
    if (inner.is_structured() && !inner.empty()) {
      if (in_list) {
        // The first line goes on behind the dash.
        std::string block;
        AppendYaml(inner, deeper, block);
        out += block.substr(deeper);
      } else {
        out += "\n";
        AppendYaml(inner, deeper, out);
      }
      return;
    }
    if (!in_list) out += " ";
    out += inner.is_array()    ? "[]"
           : inner.is_object() ? "{}"
                               : YamlScalar(inner);
    out += "\n";
  };
  if (json.is_object()) {
    for (const auto& [key, inner] : json.items()) {
      out += blanks + YamlScalar(Json(key)) + ":";
      value(inner, indent + 2, false);
    }
  } else {
    for (const auto& inner : json) {
      out += blanks + "- ";
      value(inner, indent + 2, true);
    }
  }
}

std::string ToYaml(const Json& json) {
  if (!json.is_structured() || json.empty()) {
    return (json.is_array()    ? "[]"
            : json.is_object() ? "{}"
                               : YamlScalar(json)) +
           std::string("\n");
  }
  std::string out;
  AppendYaml(json, 0, out);
  return out;
}

}  // namespace

std::string MessageToJson(const Message& message, bool pretty) {
  return Dump(ToJson(message), pretty);
}

std::string MessageToYaml(const Message& message) {
  return ToYaml(ToJson(message));
}

std::string JsonToYaml(std::string_view json) {
  return ToYaml(Json::parse(json, nullptr, /*allow_exceptions=*/false));
}

std::string JsonText(std::string_view text) {
  return Dump(Json(std::string(text)), false);
}

void JsonObject::Name(std::string_view name) {
  if (!body_.empty()) body_ += ",";
  body_ += JsonText(name) + ":";
}
JsonObject& JsonObject::Text(std::string_view name, std::string_view value) {
  return Raw(name, JsonText(value));
}
JsonObject& JsonObject::Number(std::string_view name, uint64_t value) {
  return Raw(name, Unsigned(value).dump());
}
JsonObject& JsonObject::Boolean(std::string_view name, bool value) {
  return Raw(name, value ? "true" : "false");
}
JsonObject& JsonObject::Texts(std::string_view name,
                              const std::vector<std::string>& values) {
  std::string list;
  for (const auto& value : values) {
    list += (list.empty() ? "" : ",") + JsonText(value);
  }
  return Raw(name, "[" + list + "]");
}
JsonObject& JsonObject::Raw(std::string_view name, std::string_view json) {
  Name(name);
  body_ += json;
  return *this;
}

JsonObject& JsonObject::Fields(std::string_view json) {
  const std::string_view inner = json.substr(1, json.size() - 2);
  if (!body_.empty() && !inner.empty()) body_ += ",";
  body_ += inner;
  return *this;
}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(header_.size());
  for (auto& cell : cells) {
    cell = cell.empty() ? "-" : Printable(cell);
  }
  rows_.push_back(std::move(cells));
}

namespace {

// Code points, not bytes: a label may hold letters beyond ASCII.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// The first `width` code points, the last of them "…" if more were there.
std::string Cut(const std::string& text, size_t width) {
  if (Width(text) <= width) return text;
  size_t end = 0;
  for (size_t points = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) continue;
    if (++points == width) break;
  }
  return text.substr(0, end) + "\u2026";
}

// Takes from the widest columns until all fit; a column keeps 4.
void Fit(std::vector<size_t>& widths, size_t width) {
  constexpr size_t kLeast = 4;
  size_t total = 2 * (widths.size() - 1);
  for (const size_t w : widths) total += w;
  while (total > width && widths.size() > 1) {
    const auto widest = std::max_element(widths.begin() + 1, widths.end());
    if (*widest <= kLeast) return;
    --*widest;
    --total;
  }
}

}  // namespace

std::string Table::Render(size_t width) const {
  std::vector<size_t> widths;
  for (const auto& cell : header_) widths.push_back(Width(cell));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  if (width > 0) Fit(widths, width);
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Cut(row[i], widths[i]);
      text += cell;
      if (i + 1 < row.size()) text.append(widths[i] - Width(cell) + 2, ' ');
    }
    out += text + "\n";
  };
  line(header_);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string Printable(std::string_view text, bool keep_lines) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool layout = keep_lines && (c == '\n' || c == '\t');
    out += (byte < 0x20 || byte == 0x7F) && !layout ? '?' : c;
  }
  return out;
}

std::string FormatMillis(int64_t milliseconds) {
  if (milliseconds == 0) return "-";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromUnixMillis(milliseconds),
                          absl::UTCTimeZone());
}

std::string FormatSeconds(int64_t seconds) {
  return seconds == 0 ? "-" : FormatMillis(seconds * 1000);
}

std::string FormatAge(int64_t milliseconds, absl::Time now) {
  if (milliseconds == 0) return "never";
  const int64_t seconds = std::max<int64_t>(
      0, absl::ToInt64Seconds(now - absl::FromUnixMillis(milliseconds)));
  if (seconds < 120) return std::to_string(seconds) + "s ago";
  if (seconds < 7200) return std::to_string(seconds / 60) + "m ago";
  if (seconds < 172800) return std::to_string(seconds / 3600) + "h ago";
  return std::to_string(seconds / 86400) + "d ago";
}

std::string ShortName(std::string_view name) {
  const size_t slash = name.find('/');
  return std::string(slash == name.npos ? name : name.substr(slash + 1));
}

std::string EnumText(std::string_view full, std::string_view prefix) {
  if (full.starts_with(prefix)) full.remove_prefix(prefix.size());
  std::string text(full);
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::string JoinSorted(std::vector<std::string> parts) {
  if (parts.empty()) return "-";
  std::sort(parts.begin(), parts.end());
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : ",") + part;
  return out;
}

}  // namespace shoal::cli
