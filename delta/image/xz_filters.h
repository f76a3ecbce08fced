// The filter chain of an xz setting, in liblzma's form.
#ifndef SHOAL_DELTA_IMAGE_XZ_FILTERS_H_
#define SHOAL_DELTA_IMAGE_XZ_FILTERS_H_

#include <lzma.h>

#include "delta/image/codec.h"

namespace shoal::delta {

struct XzFilters {
  lzma_options_lzma options;
  lzma_filter chain[3];

  // False when liblzma does not know the preset.
  bool Set(const CodecSetting& setting) {
    const uint32_t preset =
        (setting.level & 15u) | (setting.level & 16 ? LZMA_PRESET_EXTREME : 0u);
    if (lzma_lzma_preset(&options, preset)) return false;
    options.dict_size = setting.dictionary;
    int n = 0;
    // LZMA_FILTER_X86 … LZMA_FILTER_SPARC are the format's numbers 4 … 9.
    if (setting.filter != 0)
      chain[n++] = {.id = setting.filter, .options = nullptr};
    chain[n++] = {.id = LZMA_FILTER_LZMA2, .options = &options};
    chain[n] = {.id = LZMA_VLI_UNKNOWN, .options = nullptr};
    return true;
  }
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_XZ_FILTERS_H_
