#include "delta/image/layer_reader.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "common/status.h"

namespace shoal::delta {
namespace {

// A stream leaves a copy of itself behind when it passes a multiple of this,
// and where it was when it is sent farther than the second: most reads go on
// where the last one ended, but a few in between are far away, to and fro.
constexpr uint64_t kCheckpointStep = 1u << 20;
constexpr uint64_t kFarAway = 64u << 10;
constexpr uint64_t kFresh = 64;  // reads
constexpr size_t kMostBlocks = 16;

bool IsLong(const Segment& segment) {
  return segment.kind == Segment::Kind::kBlock &&
         segment.raw > kMaxBufferedBlock;
}

// What the layer's blocks demand of a reader.
struct Demand {
  uint64_t raw = 0;      // of the longest block that is held whole
  uint64_t stored = 0;   // likewise
  uint64_t decoder = 0;  // bytes, of all codecs, which keep their states
  bool streams = false;  // there are longer ones
};

Demand DemandOf(const ImageMap& map, const Layer& layer) {
  Demand demand;
  std::map<ImageCodec, uint64_t> decoders;
  for (const Segment& segment : layer.segments) {
    if (segment.kind != Segment::Kind::kBlock) continue;
    if (IsLong(segment)) {
      demand.streams = true;
      continue;
    }
    demand.raw = std::max<uint64_t>(demand.raw, segment.raw);
    demand.stored = std::max(demand.stored, segment.stored);
    const CodecSetting& setting = map.settings[segment.setting];
    uint64_t& decoder = decoders[setting.codec];
    decoder = std::max(decoder, ExpandMemory(setting));
  }
  for (const auto& [codec, bytes] : decoders) demand.decoder += bytes;
  return demand;
}

size_t BlockCount(const Demand& demand, uint64_t cache) {
  if (demand.raw == 0) return 0;
  return std::clamp<uint64_t>(cache / demand.raw, 1, kMostBlocks);
}

size_t StreamCount(const Demand& demand, uint64_t cache) {
  if (!demand.streams) return 0;
  // A quarter more than for blocks: going back costs more here.
  return std::max<uint64_t>((cache + cache / 4) / kBlockStreamMemory, 3);
}

}  // namespace

LayerReader::LayerReader(const ImageMap& map, const Layer& layer, ReadAt outer,
                         uint64_t cache)
    : map_(map), outer_(std::move(outer)), index_(layer) {
  const Demand demand = DemandOf(map, layer);
  blocks_.resize(BlockCount(demand, cache));
  streams_.resize(StreamCount(demand, cache));
}

uint64_t LayerReader::Memory(const ImageMap& map, const Layer& layer,
                             uint64_t cache) {
  const Demand demand = DemandOf(map, layer);
  return LayerIndex::Memory(layer) + BlockCount(demand, cache) * demand.raw +
         demand.stored + demand.decoder +
         StreamCount(demand, cache) * kBlockStreamMemory;
}

void LayerReader::Locate(uint64_t offset) {
  const auto& segments = index_.layer().segments;
  const auto holds = [&] {
    return place_.segment < segments.size() && offset >= place_.inner &&
           offset - place_.inner < segments[place_.segment].InnerLength();
  };
  if (!holds()) place_ = index_.AtInner(offset);
}

absl::Status LayerReader::Read(uint64_t offset, char* buffer, size_t size) {
  while (size > 0) {
    Locate(offset);
    const Segment& segment = index_.layer().segments[place_.segment];
    const uint64_t at = offset - place_.inner;
    const size_t n = std::min<uint64_t>(size, segment.InnerLength() - at);
    if (segment.kind == Segment::Kind::kRaw) {
      SHOAL_RETURN_IF_ERROR(outer_(place_.outer + at, buffer, n));
    } else if (IsLong(segment)) {
      SHOAL_RETURN_IF_ERROR(ReadStream(segment, at, buffer, n));
    } else {
      SHOAL_RETURN_IF_ERROR(ReadBlock(segment, at, buffer, n));
    }
    offset += n;
    buffer += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status LayerReader::ReadBlock(const Segment& segment, size_t at,
                                    char* buffer, size_t size) {
  CachedBlock* block = nullptr;
  for (CachedBlock& candidate : blocks_)
    if (candidate.segment == place_.segment) block = &candidate;
  if (block == nullptr) {
    block = &*std::min_element(
        blocks_.begin(), blocks_.end(),
        [](const auto& a, const auto& b) { return a.used < b.used; });
    block->segment = SIZE_MAX;  // until it is whole
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(segment.stored));
    SHOAL_RETURN_IF_ERROR(block->raw.Reserve(segment.raw));
    SHOAL_RETURN_IF_ERROR(outer_(place_.outer, stored_.data(), segment.stored));
    SHOAL_RETURN_IF_ERROR(codec_.Expand(map_.settings[segment.setting],
                                        {stored_.data(), segment.stored},
                                        block->raw.data(), segment.raw));
    block->segment = place_.segment;
  }
  block->used = ++clock_;
  memcpy(buffer, block->raw.data() + at, size);
  return absl::OkStatus();
}

// The stream that is missed least: what lies between the one before it in its
// block and itself would be decoded again, the less likely the longer ago it
// was used.
LayerReader::OpenStream& LayerReader::LeastWorth(const OpenStream* but) {
  OpenStream* least = nullptr;
  double least_worth = 0;
  for (OpenStream& open : streams_) {
    if (&open == but) continue;
    if (!open.stream) return open;
    const uint64_t place = open.stream->place();
    uint64_t before = 0;
    for (const OpenStream& other : streams_)
      if (other.stream && other.segment == open.segment &&
          (other.stream->place() < place ||
           (other.stream->place() == place && &other < &open)))
        before = std::max(before, other.stream->place());
    const double worth = static_cast<double>(place - before + 1) /
                         static_cast<double>(clock_ - open.used + kFresh);
    if (least == nullptr || worth < least_worth) {
      least = &open;
      least_worth = worth;
    }
  }
  return *least;  // there are at least three
}

// Another stream stands at the same place.
bool LayerReader::IsKept(const OpenStream& open) const {
  return std::any_of(streams_.begin(), streams_.end(), [&](const auto& other) {
    return &other != &open && other.stream && other.segment == open.segment &&
           other.stream->place() == open.stream->place();
  });
}

// A copy of `open` in another place of the cache.
absl::StatusOr<LayerReader::OpenStream*> LayerReader::KeepCopy(
    OpenStream& open) {
  OpenStream& other = LeastWorth(&open);
  other.stream.reset();  // first: never more streams than declared
  other.segment = SIZE_MAX;
  SHOAL_ASSIGN_OR_RETURN(other.stream, open.stream->Clone());
  other.segment = open.segment;
  other.used = ++clock_;
  return &other;
}

// A stream at or before `at`, the nearest there is.
absl::StatusOr<LayerReader::OpenStream*> LayerReader::StreamFor(
    const Segment& segment, uint64_t at) {
  OpenStream* best = nullptr;
  for (OpenStream& open : streams_) {
    if (open.segment != place_.segment) continue;
    if (open.stream->place() > at && open.stream->StepBack(at)) return &open;
    if (open.stream->place() <= at &&
        (best == nullptr || best->stream->place() < open.stream->place()))
      best = &open;
  }
  if (best != nullptr && at - best->stream->place() > kFarAway)
    SHOAL_RETURN_IF_ERROR(KeepCopy(*best).status());
  if (best == nullptr) {
    best = &LeastWorth(nullptr);
    best->stream.reset();
    best->segment = SIZE_MAX;
    SHOAL_ASSIGN_OR_RETURN(
        best->stream,
        BlockStream::Open(map_.settings[segment.setting], outer_, place_.outer,
                          segment.stored, segment.raw));
    best->segment = place_.segment;
  }
  return best;
}

absl::Status LayerReader::ReadStream(const Segment& segment, uint64_t at,
                                     char* buffer, size_t size) {
  SHOAL_ASSIGN_OR_RETURN(OpenStream * open, StreamFor(segment, at));
  const auto until_step = [&] {
    return kCheckpointStep - open->stream->place() % kCheckpointStep;
  };
  const auto advance = [&](char* out, uint64_t n) -> absl::Status {
    while (n > 0) {
      const uint64_t step = std::min(n, until_step());
      SHOAL_RETURN_IF_ERROR(open->stream->Read(out, step));
      if (out != nullptr) out += step;
      n -= step;
      if (until_step() == kCheckpointStep && !IsKept(*open))
        SHOAL_RETURN_IF_ERROR(KeepCopy(*open).status());
    }
    return absl::OkStatus();
  };
  absl::Status status = advance(nullptr, at - open->stream->place());
  if (status.ok()) status = advance(buffer, size);
  if (!status.ok()) {  // its state is undefined now
    open->stream.reset();
    open->segment = SIZE_MAX;
    return status;
  }
  open->used = ++clock_;
  return absl::OkStatus();
}

}  // namespace shoal::delta
