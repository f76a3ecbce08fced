// Included ahead of every file that uses protobuf in a ThreadSanitizer build.
// Under TSan protobuf 3.21's map_field.h gives MapFieldBase two more members,
// which Debian's libprotobuf.so, built without TSan, knows nothing of: reading
// a map by reflection would then crash. So that one header is read as in any
// other build. What it includes of the standard library comes first and keeps
// its TSan forms.
#ifndef SHOAL_TESTS_SUPPORT_TSAN_PROTOBUF_H_
#define SHOAL_TESTS_SUPPORT_TSAN_PROTOBUF_H_

#ifdef __cplusplus
#include <algorithm>
#include <atomic>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")
#endif

#endif  // SHOAL_TESTS_SUPPORT_TSAN_PROTOBUF_H_
