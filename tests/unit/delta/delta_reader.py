#!/usr/bin/env python3
"""A second reader of SDELTA, written from docs/delta-format.md alone.

It reads patches whose coding is zstd and that have no maps of compressed
images; of the others it says so (exit code 3). It shares no code with the
applier; zstd frames are decompressed by libzstd.

    delta_reader.py OLD PATCH NEW      0: made · 1: refused · 3: not read here
"""
import ctypes
import ctypes.util
import hashlib
import sys


class Refused(Exception):
    pass


class NotReadHere(Exception):
    pass


ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd"))
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
ZSTD.ZSTD_isError.argtypes = [ctypes.c_size_t]


def zstd(frame, raw_size):
    out = ctypes.create_string_buffer(raw_size)
    n = ZSTD.ZSTD_decompress(out, ctypes.c_size_t(raw_size), frame,
                             ctypes.c_size_t(len(frame)))
    if ZSTD.ZSTD_isError(n) or n != raw_size:
        raise Refused("a section does not decompress to its length")
    return out.raw


def check(*parts):
    return hashlib.sha256(b"".join(parts)).digest()[:8]


class Bytes:
    """Takes things off the front of a byte string."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if len(self.data) - self.at < n:
            raise Refused("cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = 0
        for i in range(10):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if (byte == 0 and i > 0) or value >= 1 << 64:
                    break
                return value
        raise Refused("a malformed number")

    def end(self):
        return self.at == len(self.data)


def unzigzag(v):
    return -(v >> 1) - 1 if v & 1 else v >> 1


def run(control, diff, extra, old, new_size):
    control, diff, extra = Bytes(control), Bytes(diff), Bytes(extra)
    made, place = bytearray(), 0
    while not control.end():
        word = control.varint()
        kind, argument = word & 3, word >> 2
        if kind == 3:
            place += unzigzag(argument)
            if not 0 <= place <= len(old):
                raise Refused("a seek outside the base")
            continue
        if argument == 0 or argument > new_size - len(made):
            raise Refused("an impossible length")
        if kind == 2:
            made += extra.take(argument)
            continue
        if argument > len(old) - place:
            raise Refused("beyond the base")
        piece = old[place:place + argument]
        if kind == 1:
            piece = bytes((a + b) & 255
                          for a, b in zip(piece, diff.take(argument)))
        made += piece
        place += argument
    if len(made) != new_size or not diff.end() or not extra.end():
        raise Refused("instructions and lengths do not agree")
    return made


def window(patch, header_check, made, old, new_size, window_size):
    start = patch.at
    kind = patch.byte()
    if kind != 0:
        raise NotReadHere("windows of the model")
    makes = patch.varint()
    if makes == 0 or makes > new_size - made:
        raise Refused("an impossible window")
    sections = []
    for _ in range(3):
        raw = stored = patch.varint()
        codec = 0
        if raw > 0:
            codec = patch.byte()
            if codec > 1:
                raise Refused("an unknown codec")
            if codec == 1:
                stored = patch.varint()
                if stored >= raw:
                    raise Refused("compressed but not smaller")
        sections.append((raw, codec, stored))
    if sum(raw for raw, _, _ in sections) > window_size:
        raise Refused("a window larger than declared")
    record = patch.data[start:patch.at]
    claimed = patch.take(8)
    stored = patch.take(sum(s for _, _, s in sections))
    if check(header_check, made.to_bytes(8, "big"), record, stored) != claimed:
        raise Refused("a damaged window")
    rest, contents = Bytes(stored), []
    for raw, codec, size in sections:
        piece = rest.take(size)
        contents.append(zstd(piece, raw) if codec == 1 else piece)
    return run(*contents, old, makes)


def apply(old, patch_bytes):
    patch = Bytes(patch_bytes)
    header = patch.take(112)
    number = lambda at, n: int.from_bytes(header[at:at + n], "big")
    if header[:6] != b"SDELTA":
        raise Refused("no Shoal delta")
    if header[6] != 1:
        raise Refused("another version")
    if check(header[:104]) != header[104:]:
        raise Refused("a damaged header")
    if header[7] == 2:
        raise NotReadHere("the coding is the model's")
    if header[7] != 1 or header[93:96] != bytes(3):
        raise Refused("an unknown coding")
    if number(96, 4) != 0:
        raise NotReadHere("expanded images")
    old_size, new_size = number(8, 8), number(16, 8)
    window_log2 = header[92]
    if not 12 <= window_log2 <= 26:
        raise Refused("an impossible window size")
    if len(old) < old_size:
        raise Refused("another base")
    old = old[:old_size]
    if hashlib.sha256(old).digest() != header[24:56]:
        raise Refused("another base")
    new = bytearray()
    while len(new) < new_size:
        new += window(patch, header[104:], len(new), old, new_size,
                      1 << window_log2)
    if not patch.end():
        raise Refused("bytes behind the last window")
    if hashlib.sha256(new).digest() != header[56:88]:
        raise Refused("another result")
    return new


def main():
    old_path, patch_path, new_path = sys.argv[1:]
    with open(old_path, "rb") as old, open(patch_path, "rb") as patch:
        try:
            new = apply(old.read(), patch.read())
        except Refused as reason:
            print(f"refused: {reason}")
            return 1
        except NotReadHere as reason:
            print(f"not read here: {reason}")
            return 3
    with open(new_path, "wb") as out:
        out.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
