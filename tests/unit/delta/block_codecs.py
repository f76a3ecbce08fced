"""Compressed blocks of images, by the libraries that docs/delta-image.md names.

Written from that page; it shares no code with the applier.
"""
import ctypes
import ctypes.util
import hashlib
import lzma
import zlib

DEFLATE, XZ, ZSTD, LZ4, LZ4HC, LZ4HC_PIECES = range(1, 7)
HISTORY, LOOKAHEAD = 65536, 4096


class Differs(Exception):
    pass


def library(name):
    return ctypes.CDLL(ctypes.util.find_library(name))


_zstd, _lzma, _lz4 = library("zstd"), library("lzma"), library("lz4")
for _function in ("ZSTD_compressBound", "ZSTD_compressCCtx", "ZSTD_compress2",
                  "ZSTD_decompress", "ZSTD_CCtx_setParameter"):
    getattr(_zstd, _function).restype = ctypes.c_size_t
_zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
_zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
_lz4.LZ4_createStreamHC.restype = ctypes.c_void_p
for _version in (_zstd.ZSTD_versionString, _lzma.lzma_version_string,
                 _lz4.LZ4_versionString):
    _version.restype = ctypes.c_char_p

LIBRARIES = {
    DEFLATE: f"zlib {zlib.ZLIB_RUNTIME_VERSION}",
    XZ: f"liblzma {_lzma.lzma_version_string().decode()}",
    ZSTD: f"zstd {_zstd.ZSTD_versionString().decode()}",
    LZ4: f"lz4 {_lz4.LZ4_versionString().decode()} "
         f"({8 * ctypes.sizeof(ctypes.c_void_p)} bit)",
    LZ4HC: f"lz4 {_lz4.LZ4_versionString().decode()}",
    LZ4HC_PIECES: f"lz4 {_lz4.LZ4_versionString().decode()}",
}


class Setting:
    def __init__(self, data):
        (self.codec, self.level, self.window, self.memory, self.strategy,
         self.wrapper, self.check, self.filter) = data[:8]
        self.dictionary = int.from_bytes(data[8:12], "big")


def zstd_expand(frame, raw_size):
    out = ctypes.create_string_buffer(max(raw_size, 1))
    n = _zstd.ZSTD_decompress(out, ctypes.c_size_t(raw_size), frame,
                              ctypes.c_size_t(len(frame)))
    if _zstd.ZSTD_isError(n) or n != raw_size:
        return None
    return out.raw[:raw_size]


def expand(setting, stored, raw_size):
    """The raw bytes of a block, None when it is damaged."""
    try:
        if setting.codec == DEFLATE:
            return zlib.decompress(stored, 15 if setting.wrapper else -15)
        if setting.codec == XZ:
            return lzma.decompress(stored, lzma.FORMAT_XZ)
    except (zlib.error, lzma.LZMAError):
        return None
    if setting.codec == ZSTD:
        return zstd_expand(stored, raw_size)
    out = ctypes.create_string_buffer(raw_size)
    n = _lz4.LZ4_decompress_safe(stored, out, len(stored), raw_size)
    return out.raw if n == raw_size else None


# --- Compressing


def deflate(setting, raw):
    window = setting.window if setting.wrapper else -setting.window
    stream = zlib.compressobj(setting.level, zlib.DEFLATED, window,
                              setting.memory, setting.strategy)
    step = len(raw) if len(raw) <= 1 << 20 else 65536
    pieces = [stream.compress(raw[i:i + step])
              for i in range(0, len(raw), max(step, 1))]
    return b"".join(pieces) + stream.flush()


class LzmaFilter(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("options", ctypes.c_void_p)]


def xz(setting, raw):
    preset = setting.level & 15 | (lzma.PRESET_EXTREME
                                   if setting.level & 16 else 0)
    if setting.wrapper == 1:
        chain = [{"id": lzma.FILTER_LZMA2, "preset": preset,
                  "dict_size": setting.dictionary}]
        if setting.filter:
            chain.insert(0, {"id": setting.filter})
        return lzma.compress(raw, lzma.FORMAT_XZ, setting.check, None, chain)
    options = ctypes.create_string_buffer(512)  # lzma_options_lzma
    if _lzma.lzma_lzma_preset(options, preset):
        raise Differs("no such preset")
    ctypes.c_uint32.from_buffer(options).value = setting.dictionary
    filters = (LzmaFilter * 3)()
    n = 0
    if setting.filter:
        filters[0].id, n = setting.filter, 1
    filters[n].id = lzma.FILTER_LZMA2
    filters[n].options = ctypes.cast(options, ctypes.c_void_p)
    filters[n + 1].id = (1 << 64) - 1
    room = 2 * len(raw) + 65536
    out, used = ctypes.create_string_buffer(room), ctypes.c_size_t(0)
    if _lzma.lzma_stream_buffer_encode(
            filters, setting.check, None, raw, ctypes.c_size_t(len(raw)), out,
            ctypes.byref(used), ctypes.c_size_t(room)):
        raise Differs("liblzma does not compress a block")
    return out.raw[:used.value]


def zstd(setting, raw):
    context = ctypes.c_void_p(_zstd.ZSTD_createCCtx())
    room = _zstd.ZSTD_compressBound(ctypes.c_size_t(len(raw)))
    out = ctypes.create_string_buffer(room)
    size = ctypes.c_size_t(len(raw))
    if setting.check == 0:
        n = _zstd.ZSTD_compressCCtx(context, out, ctypes.c_size_t(room), raw,
                                    size, setting.level)
    else:
        _zstd.ZSTD_CCtx_setParameter(context, 100, setting.level)
        _zstd.ZSTD_CCtx_setParameter(context, 201, 1)  # ZSTD_c_checksumFlag
        n = _zstd.ZSTD_compress2(context, out, ctypes.c_size_t(room), raw, size)
    _zstd.ZSTD_freeCCtx(context)
    if _zstd.ZSTD_isError(n):
        raise Differs("zstd does not compress a block")
    return out.raw[:n]


def lz4(setting, raw):
    room = _lz4.LZ4_compressBound(len(raw))
    out = ctypes.create_string_buffer(room)
    if setting.codec == LZ4:
        n = _lz4.LZ4_compress_default(raw, out, len(raw), room)
    else:
        n = _lz4.LZ4_compress_HC(raw, out, len(raw), room, setting.level)
    return out.raw[:n]


def lz4_stretch(level, history, raw):
    """What the high compression makes of raw behind history."""
    memory = ctypes.create_string_buffer(history + raw, len(history + raw))
    start = ctypes.addressof(memory)
    stream = ctypes.c_void_p(_lz4.LZ4_createStreamHC())
    _lz4.LZ4_resetStreamHC_fast(stream, level)
    _lz4.LZ4_loadDictHC(stream, ctypes.c_void_p(start), len(history))
    room = _lz4.LZ4_compressBound(len(raw))
    out = ctypes.create_string_buffer(room)
    n = _lz4.LZ4_compress_HC_continue(
        stream, ctypes.c_void_p(start + len(history)), out, len(raw), room)
    _lz4.LZ4_freeStreamHC(stream)
    return out.raw[:n]


def lz4_length(length):
    """What of a length stands behind the token."""
    if length < 15:
        return b""
    return b"\xff" * ((length - 15) // 255) + bytes([(length - 15) % 255])


def lz4_sequence(literals, match, distance):
    token = min(len(literals), 15) << 4 | min(match - 4, 15)
    return (bytes([token]) + lz4_length(len(literals)) + literals +
            distance.to_bytes(2, "little") + lz4_length(match - 4))


def lz4_front(stored, raw_size):
    """The sequences at the front of stored that make raw_size bytes."""
    at = made = 0

    def length(four_bits):
        nonlocal at
        total = four_bits
        if four_bits == 15:
            more = 255
            while more == 255:
                more = stored[at]
                at += 1
                total += more
        return total

    while made < raw_size:
        token = stored[at]
        at += 1
        literals = length(token >> 4)
        at += literals
        made += literals
        if at >= len(stored):
            break
        at += 2
        made += length(token & 15) + 4
    if made != raw_size:
        raise Differs("no sequence ends where a piece ends")
    return stored[:at]


def lz4_pieces(level, raw, pieces):
    """pieces: (length, None or (literals, distance)); not the last one."""
    out, at = b"", 0
    for length, sequence in pieces:
        if sequence:
            literals, distance = sequence
            out += lz4_sequence(raw[at:at + literals], length - literals,
                                distance)
        else:
            stretch = raw[at:at + length + LOOKAHEAD]
            out += lz4_front(
                lz4_stretch(level, raw[max(0, at - HISTORY):at], stretch),
                length)
        at += length
    return out + lz4_stretch(level, raw[max(0, at - HISTORY):at], raw[at:])


def compress(setting, raw):
    makers = {DEFLATE: deflate, XZ: xz, ZSTD: zstd, LZ4: lz4, LZ4HC: lz4}
    return makers[setting.codec](setting, raw)


# --- What a patch says of the codecs


def sample():
    state, out = 1, bytearray()

    def following():
        nonlocal state
        state = state * 1664525 + 1013904223 & 0xFFFFFFFF
        return state >> 16

    while len(out) < 131072:
        word = following() * following() % 512
        length = min(3 + word % 9, 131072 - len(out))
        out += bytes(word * (k + 7) >> k % 5 & 255 for k in range(length))
        if word % 4 == 0 and len(out) < 131072:
            out.append(following() & 255)
    return bytes(out)


def fingerprint(setting):
    raw = sample()
    if setting.codec == LZ4HC_PIECES:
        made = lz4_stretch(setting.level, raw[:HISTORY], raw[HISTORY:])
    else:
        made = compress(setting, raw)
    return hashlib.sha256(made).digest()[:4]
