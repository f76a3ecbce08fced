#include "delta/entropy/mix_coder.h"

#include <new>
#include <utility>

#include "common/status.h"
#include "delta/entropy/mix_model.h"

namespace shoal::delta {
namespace {

absl::Status NoModel(int level) {
  if (mix::SizesOf(level) == nullptr)
    return InvalidArgument("bad_argument", "there is no such level");
  return ResourceExhausted("out_of_memory", "no memory for the coder's model");
}

absl::Status Ended() {
  return DataLoss("delta_corrupt", "a window's coded bytes end too early");
}

}  // namespace

size_t MixMemory(int level) {
  const mix::LevelSizes* sizes = mix::SizesOf(level);
  if (sizes == nullptr) return 0;
  size_t entries = 0;
  for (const size_t n : sizes->targets) entries += n;
  return sizes->lines * 64 + sizes->flags * mix::FlagModel::kContexts +
         entries * sizeof(mix::TargetMap::Entry) +
         sizeof(mix::MixModel<mix::BinaryDecoder>) + 4096;
}

struct MixEncoder::Impl {
  std::unique_ptr<mix::MixModel<mix::BinaryEncoder>> model;
};

MixEncoder::MixEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MixEncoder::~MixEncoder() = default;

absl::StatusOr<std::unique_ptr<MixEncoder>> MixEncoder::Create(int level) {
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl);
  if (impl != nullptr)
    impl->model = mix::MixModel<mix::BinaryEncoder>::Create(level);
  if (impl == nullptr || impl->model == nullptr) return NoModel(level);
  std::unique_ptr<MixEncoder> encoder(new (std::nothrow)
                                          MixEncoder(std::move(impl)));
  if (encoder == nullptr) return NoModel(level);
  return encoder;
}

void MixEncoder::Reset() { impl_->model->Reset(); }
void MixEncoder::Number(NumberKind kind, uint64_t value) {
  impl_->model->Number(static_cast<size_t>(kind), value);
}
void MixEncoder::Place(uint64_t new_at, uint64_t old_at) {
  impl_->model->Place(new_at, old_at);
}
void MixEncoder::Moved(uint64_t old_at, uint64_t new_at, uint64_t size) {
  impl_->model->Moved(old_at, new_at, size);
}
void MixEncoder::Add(const OldBytes& old, uint64_t new_at,
                     std::span<const uint8_t> fresh) {
  // The model shares its code with the decoder's; encoding it only reads.
  impl_->model->Add(old, new_at, const_cast<uint8_t*>(fresh.data()),
                    fresh.size());
}
void MixEncoder::Insert(const OldBytes& old, uint64_t new_at,
                        std::span<const uint8_t> fresh) {
  impl_->model->Insert(old, new_at, const_cast<uint8_t*>(fresh.data()),
                       fresh.size());
}
size_t MixEncoder::WindowSize() const {
  return impl_->model->coder().OutputSize();
}
std::string MixEncoder::EndWindow() {
  return impl_->model->coder().TakeOutput();
}

struct MixDecoder::Impl {
  std::unique_ptr<mix::MixModel<mix::BinaryDecoder>> model;
  absl::Status Check() const {
    return model->coder().Overrun() ? Ended() : absl::OkStatus();
  }
};

MixDecoder::MixDecoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MixDecoder::~MixDecoder() = default;

absl::StatusOr<std::unique_ptr<MixDecoder>> MixDecoder::Create(int level) {
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl);
  if (impl != nullptr)
    impl->model = mix::MixModel<mix::BinaryDecoder>::Create(level);
  if (impl == nullptr || impl->model == nullptr) return NoModel(level);
  std::unique_ptr<MixDecoder> decoder(new (std::nothrow)
                                          MixDecoder(std::move(impl)));
  if (decoder == nullptr) return NoModel(level);
  return decoder;
}

void MixDecoder::Reset() { impl_->model->Reset(); }
void MixDecoder::BeginWindow(std::span<const uint8_t> window) {
  impl_->model->coder().Begin(window);
}
absl::StatusOr<uint64_t> MixDecoder::Number(NumberKind kind) {
  const uint64_t value = impl_->model->Number(static_cast<size_t>(kind), 0);
  SHOAL_RETURN_IF_ERROR(impl_->Check());
  return value;
}
absl::StatusOr<uint64_t> MixDecoder::Place(uint64_t new_at) {
  const uint64_t old_at = impl_->model->Place(new_at, 0);
  SHOAL_RETURN_IF_ERROR(impl_->Check());
  return old_at;
}
void MixDecoder::Moved(uint64_t old_at, uint64_t new_at, uint64_t size) {
  impl_->model->Moved(old_at, new_at, size);
}
absl::Status MixDecoder::Add(const OldBytes& old, uint64_t new_at,
                             std::span<uint8_t> fresh) {
  impl_->model->Add(old, new_at, fresh.data(), fresh.size());
  return impl_->Check();
}
absl::Status MixDecoder::Insert(const OldBytes& old, uint64_t new_at,
                                std::span<uint8_t> fresh) {
  impl_->model->Insert(old, new_at, fresh.data(), fresh.size());
  return impl_->Check();
}
absl::Status MixDecoder::EndWindow() {
  if (!impl_->model->coder().Finished())
    return DataLoss("delta_corrupt",
                    "a window's coded bytes do not end where it ends");
  return absl::OkStatus();
}

}  // namespace shoal::delta
