// What is left to tell of two JSON documents, so that nothing changes unseen: a
// report takes out what it has told in words of its own, and the rest is told
// leaf by leaf.
#ifndef SHOAL_SIGNING_TOOL_JSON_REST_H_
#define SHOAL_SIGNING_TOOL_JSON_REST_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace shoal::signing {

// One thread.
class JsonRest {
 public:
  using Json = nlohmann::json;
  using Pointer = nlohmann::json::json_pointer;
  enum Side { kBefore, kAfter };

  JsonRest(Json before, Json after)
      : sides_{std::move(before), std::move(after)} {}

  // What a document says at `place`; null when it says nothing.
  const Json* Find(Side side, const Pointer& place) const;

  // The member `key` of the object at `object`, or one element of the array at
  // `array` that is exactly `element`, has been told in full. Nothing happens
  // when there is none. A container that comes or goes with it needs no line.
  void Told(Side side, const Pointer& object, const std::string& key);
  void ToldElement(Side side, const Pointer& array, const Json& element);

  // A line for every leaf that differs, each with its place:
  // "+ roles.root.note: 1", "- …", "~ consistent_snapshot: false, was true".
  std::string Lines() const;

 private:
  void Level(const Pointer& container);
  Json sides_[2];
};

// `text` as a JSON string without its quotes: what would steer a terminal
// becomes \u…, and what is no ASCII too.
std::string Printable(std::string_view text);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_JSON_REST_H_
