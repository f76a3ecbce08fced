#include "dht/swarm/fetch/origins.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <charconv>

#include "common/status.h"

namespace shoal::dht {

struct OriginClient::Transfer {
  CURL* easy = nullptr;
  OriginSink* sink = nullptr;
  uint64_t wanted_begin = 0;
  bool begun = false;
  std::string content_range;
  absl::Status status;  // what ended it from our side

  absl::Status Begin();
};

struct OriginClient::Impl {
  CURLM* multi = nullptr;
  std::string ca_file;
  uint64_t last_number = 0;
  std::map<uint64_t, std::unique_ptr<Transfer>> transfers;

  void Drop(uint64_t number) {
    const auto it = transfers.find(number);
    if (it == transfers.end()) return;
    curl_multi_remove_handle(multi, it->second->easy);
    curl_easy_cleanup(it->second->easy);
    transfers.erase(it);
  }
  ~Impl() {
    while (!transfers.empty()) Drop(transfers.begin()->first);
    if (multi != nullptr) curl_multi_cleanup(multi);
    curl_global_cleanup();
  }
};

namespace {

// "bytes 100-199/1000"; the total may be "*".
struct ContentRange {
  uint64_t begin = 0;
  std::optional<uint64_t> total;
};
std::optional<ContentRange> ParseContentRange(std::string_view text) {
  ContentRange range;
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos ||
      dash > slash) {
    return std::nullopt;
  }
  const auto number = [](std::string_view part, uint64_t& out) {
    const auto [end, error] =
        std::from_chars(part.data(), part.data() + part.size(), out);
    return !part.empty() && error == std::errc() &&
           end == part.data() + part.size();
  };
  if (!number(text.substr(0, dash), range.begin)) return std::nullopt;
  const std::string_view total = text.substr(slash + 1);
  if (total != "*") {
    uint64_t value = 0;
    if (!number(total, value)) return std::nullopt;
    range.total = value;
  }
  return range;
}

}  // namespace

absl::Status OriginClient::Transfer::Begin() {
  begun = true;
  long code = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
  if (code == 206) {
    const auto range = ParseContentRange(content_range);
    if (!range || range->begin != wanted_begin) {
      return Unavailable("origin_http",
                         "the origin's range is not the one asked");
    }
    return sink->Begin(range->begin, range->total);
  }
  if (code != 200) {
    const std::string answer = fmt::format("the origin answers {}", code);
    return code == 404 || code == 410 ? NotFound("origin_http", answer)
                                      : Unavailable("origin_http", answer);
  }
  curl_off_t length = -1;
  curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  std::optional<uint64_t> total;
  if (length >= 0) total = static_cast<uint64_t>(length);
  return sink->Begin(0, total);
}

OriginClient::OriginClient(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
OriginClient::~OriginClient() = default;

absl::StatusOr<std::unique_ptr<OriginClient>> OriginClient::Open(
    const std::string& ca_file) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Internal("curl", "libcurl can't be initialised");
  }
  auto impl = std::make_unique<Impl>();
  impl->ca_file = ca_file;
  impl->multi = curl_multi_init();
  if (impl->multi == nullptr) return Internal("curl", "out of memory");
  curl_multi_setopt(impl->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 8L);
  return std::unique_ptr<OriginClient>(new OriginClient(std::move(impl)));
}

absl::StatusOr<uint64_t> OriginClient::Start(
    const std::string& url, std::optional<std::pair<uint64_t, uint64_t>> range,
    int64_t rate, OriginSink* sink) {
  auto transfer = std::make_unique<Transfer>();
  CURL* easy = curl_easy_init();
  if (easy == nullptr) return Internal("curl", "out of memory");
  transfer->easy = easy;
  transfer->sink = sink;
  if (range) {
    transfer->wanted_begin = range->first;
    const std::string text =
        fmt::format("{}-{}", range->first, range->second - 1);
    curl_easy_setopt(easy, CURLOPT_RANGE, text.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "shoal-fetch");
  // libcurl reads up to a hundred buffers before it looks at the rate.
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16L * 1024);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE,
                   static_cast<curl_off_t>(rate));
  if (!impl_->ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, impl_->ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  using Callback = size_t (*)(char*, size_t, size_t, void*);
  const Callback on_header = [](char* data, size_t size, size_t count,
                                void* self) -> size_t {
    auto& t = *static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    constexpr std::string_view kName = "content-range:";
    if (line.size() > kName.size() && line.size() < 256 &&
        curl_strnequal(line.data(), kName.data(), kName.size()) != 0) {
      std::string_view value = line.substr(kName.size());
      while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
      while (!value.empty() && value.back() <= ' ') value.remove_suffix(1);
      t.content_range = value;
    }
    return line.size();
  };
  const Callback on_data = [](char* data, size_t size, size_t count,
                              void* self) -> size_t {
    auto& t = *static_cast<Transfer*>(self);
    if (t.status.ok() && !t.begun) t.status = t.Begin();
    if (t.status.ok()) t.status = t.sink->Data({data, size * count});
    return t.status.ok() ? size * count : CURL_WRITEFUNC_ERROR;
  };
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  const uint64_t number = ++impl_->last_number;
  curl_easy_setopt(easy, CURLOPT_PRIVATE,
                   reinterpret_cast<void*>(static_cast<uintptr_t>(number)));
  if (curl_multi_add_handle(impl_->multi, easy) != CURLM_OK) {
    curl_easy_cleanup(easy);
    return Internal("curl", "the transfer can't be started");
  }
  impl_->transfers.emplace(number, std::move(transfer));
  return number;
}

void OriginClient::Stop(uint64_t transfer) { impl_->Drop(transfer); }

void OriginClient::SetRate(int64_t rate) {
  for (auto& [number, transfer] : impl_->transfers) {
    curl_easy_setopt(transfer->easy, CURLOPT_MAX_RECV_SPEED_LARGE,
                     static_cast<curl_off_t>(rate));
  }
}

std::vector<OriginClient::Ended> OriginClient::Wait(const std::vector<int>& fds,
                                                    absl::Duration timeout) {
  std::vector<curl_waitfd> extra;
  for (const int fd : fds) extra.push_back({fd, CURL_WAIT_POLLIN, 0});
  curl_multi_poll(
      impl_->multi, extra.data(), static_cast<unsigned>(extra.size()),
      static_cast<int>(absl::ToInt64Milliseconds(timeout)), nullptr);
  int running = 0;
  curl_multi_perform(impl_->multi, &running);
  std::vector<Ended> ended;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(impl_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* tag = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &tag);
    const auto number = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(tag));
    const CURLcode code = message->data.result;
    Transfer& transfer = *impl_->transfers.at(number);
    // An answer without a body has not begun yet: its code still counts.
    if (code == CURLE_OK && !transfer.begun) transfer.status = transfer.Begin();
    absl::Status status = transfer.status;
    if (absl::IsCancelled(status)) {
      status = absl::OkStatus();
    } else if (status.ok() && code != CURLE_OK) {
      status = Unavailable("origin_network", curl_easy_strerror(code));
    }
    impl_->Drop(number);
    ended.push_back({number, std::move(status)});
  }
  return ended;
}

}  // namespace shoal::dht
