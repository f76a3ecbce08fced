#!/usr/bin/env python3
"""A second reader of SDELTA, written from the pages alone.

docs/delta-format.md is this file, docs/delta-entropy.md mix_model.py and what it
imports, docs/delta-image.md image_maps.py. It shares no code with the applier;
the compression libraries are the same. Slow: it is for the tests.

    delta_reader.py OLD PATCH NEW      0: made · 1: refused
"""
import hashlib
import sys

import block_codecs
import image_maps
import mix_model


class Refused(Exception):
    pass


def zstd(frame, raw_size):
    raw = block_codecs.zstd_expand(frame, raw_size)
    if raw is None:
        raise Refused("a section does not decompress to its length")
    return raw


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


class Base:
    """The base as the windows see it."""

    def __init__(self, image):
        self.image = image

    def around(self, at, n):
        """n bytes and 32 on either side; zeros outside of the base."""
        begin, end = at - 32, at + n + 32
        before = min(max(0, -begin), end - begin)
        piece = self.image[max(0, begin):max(0, end)]
        return bytes(before) + piece + bytes(end - begin - before - len(piece))


class Windows:
    def __init__(self, patch, header, old, new_size):
        self.patch, self.old, self.new_size = patch, old, new_size
        self.header_check = header[104:]
        self.window_size = 1 << header[92]
        self.model_level = header[94] if header[7] == 2 else 0
        self.most_operations = 1 << header[95]
        self.made = bytearray()
        self.group_left = 0
        self.base = Base(old)

    def all(self):
        while len(self.made) < self.new_size:
            self.window()
        return self.made

    def window(self):
        start = self.patch.at
        kind = self.patch.byte()
        if kind > (2 if self.model_level else 0):
            raise Refused("an unknown kind of window")
        makes = self.patch.varint()
        room = (self.group_left if kind == 2
                else self.new_size - len(self.made))
        if makes == 0 or makes > room or (kind == 2) != (self.group_left > 0):
            raise Refused("an impossible window")
        read = (self.sections, self.operations, self.content)[kind]
        read(start, makes)

    def checked(self, start, size):
        record = self.patch.data[start:self.patch.at]
        claimed = self.patch.take(8)
        stored = self.patch.take(size)
        place = len(self.made).to_bytes(8, "big")
        if check(self.header_check, place, record, stored) != claimed:
            raise Refused("a damaged window")
        return stored

    def sections(self, start, makes):
        patch, sections = self.patch, []
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
        if sum(raw for raw, _, _ in sections) > self.window_size:
            raise Refused("a window larger than declared")
        stored = self.checked(start, sum(s for _, _, s in sections))
        rest, contents = Bytes(stored), []
        for raw, codec, size in sections:
            piece = rest.take(size)
            contents.append(zstd(piece, raw) if codec == 1 else piece)
        self.made += run(*contents, self.old, makes)

    def coded(self, start):
        size = self.patch.varint()
        if size > self.window_size:
            raise Refused("a window larger than declared")
        return self.checked(start, size)

    def operations(self, start, makes):
        count = self.patch.varint()
        if not 1 <= count <= self.most_operations:
            raise Refused("an impossible number of operations")
        self.model = mix_model.Model(self.model_level)
        self.model.begin_window(self.coded(start))
        self.group, at = [], len(self.made)
        for _ in range(count):
            kind = self.model.number("operation")
            if kind > 2:
                raise Refused("an unknown operation")
            n = self.model.number(("copy", "add", "insert")[kind])
            if n == 0 or n > len(self.made) + makes - at:
                raise Refused("an impossible length")
            place = 0
            if kind < 2:
                place = self.model.place(at)
                if place + n > len(self.old):
                    raise Refused("beyond the base")
                self.model.moved(place, at, n)
            self.group.append([kind, n, place, 0])  # the last: bytes done
            at += n
        self.model.end_window()
        if at != len(self.made) + makes:
            raise Refused("operations and length do not agree")
        self.group_left, self.old_end = makes, 0

    def content(self, start, makes):
        self.model.begin_window(self.coded(start))
        self.group_left -= makes
        while makes > 0:
            operation = self.group[0]
            kind, n, place, done = operation
            step = min(makes, n - done)
            if kind == 0:
                self.made += self.old[place + done:place + done + step]
            else:
                step = min(step, 32768 - done % 32768)
                begin = min((place if kind == 1 else self.old_end) + done,
                            len(self.old))
                code = self.model.add if kind == 1 else self.model.insert
                self.made += code(self.base, begin, len(self.made), step)
            operation[3] += step
            makes -= step
            if operation[3] == n:
                if kind < 2:
                    self.old_end = place + n
                self.group.pop(0)
        self.model.end_window()


class Maps:
    def __init__(self, patch, header):
        size = int.from_bytes(header[96:100], "big")
        stored_size = int.from_bytes(header[100:104], "big")
        claimed = patch.take(8)
        stored = patch.take(stored_size)
        if check(header[104:], bytes(8), stored) != claimed:
            raise Refused("damaged maps")
        maps = Bytes(stored if stored_size == size else zstd(stored, size))
        self.old = image_maps.ImageMap(maps)
        self.new = image_maps.ImageMap(maps, self.old)
        differs = image_maps.check_codecs(maps, self.new)
        if differs:
            raise Refused(differs)
        if not maps.end():
            raise Refused("bytes behind the maps")


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
    coding, version, level, group_log2 = header[7], *header[93:96]
    if coding == 1 and header[93:96] != bytes(3) or coding not in (1, 2):
        raise Refused("an unknown coding")
    if coding == 2 and (version != 3 or not 1 <= level <= 4 or
                        not 4 <= group_log2 <= 20):
        raise Refused("an unknown model")
    old_size, new_size = number(8, 8), number(16, 8)
    if not 12 <= header[92] <= 26:
        raise Refused("an impossible window size")
    maps = Maps(patch, header) if number(96, 4) else None
    if len(old) < old_size:
        raise Refused("another base")
    old = old[:old_size]
    if hashlib.sha256(old).digest() != header[24:56]:
        raise Refused("another base")
    if maps:
        images = image_maps.expand(maps.old, old)
        expanded = Windows(patch, header, images[-1],
                           maps.new.expanded_size).all()
        new = image_maps.rebuild(maps.new, images, expanded)
    else:
        new = Windows(patch, header, old, new_size).all()
    if not patch.end():
        raise Refused("bytes behind the last window")
    if len(new) != new_size or hashlib.sha256(new).digest() != header[56:88]:
        raise Refused("another result")
    return new


def main():
    old_path, patch_path, new_path = sys.argv[1:]
    with open(old_path, "rb") as old, open(patch_path, "rb") as patch:
        try:
            new = apply(old.read(), patch.read())
        except (Refused, block_codecs.Differs, image_maps.BadMap,
                mix_model.Damaged) as reason:
            print(f"refused: {reason}")
            return 1
    with open(new_path, "wb") as out:
        out.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
