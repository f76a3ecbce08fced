"""Units of SDELTA's context model: references in code and data.

Written from docs/delta-entropy.md ("Units"); it shares no code with the applier.
"""
M32 = (1 << 32) - 1
M64 = (1 << 64) - 1
PAGE = M64 ^ 4095

DATA, ARM64, X86, THUMB, OFFSETS = range(5)
(NONE, POINTER, BRANCH, NEAR, TEST, ADRP, LOW, X86_FIELD, THUMB_BRANCH,
 DISTANCE) = range(10)
FIELDS = {BRANCH: (0, 26), NEAR: (5, 19), TEST: (5, 14)}
THUMB_MASK = 0x2FFF07FF
X86_OPCODES = frozenset(bytes.fromhex(
    "01032329 2b333839 3a3b6380 81838485 8788898a 8b8dc6c7 f6f7ff"))


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def load(data, at, size=4):
    return int.from_bytes(data[at:at + size], "little")


class Unit:
    def __init__(self, size, kind, word, old_at, new_at):
        self.size, self.kind, self.word = size, kind, word
        self.old_at, self.new_at = old_at, new_at
        self.target = self.new_page = 0

    def key(self):
        return self.word | self.size << 32 if self.kind == NONE else self.target


# --- arm64


def is_adrp(w):
    return w & 0x9F000000 == 0x90000000


def adrp_offset(w):
    return signed((w >> 5 & 0x7FFFF) << 2 | w >> 29 & 3, 21) * 4096


def scale(w):
    if w & 0xFFC00000 == 0x91000000:
        return 0
    if w & 0x3B000000 != 0x39000000:
        return None
    size = w >> 30
    return 4 if w & 0x04800000 == 0x04800000 and size == 0 else size


class Registers:
    """What ADRPs left: (old page, new page), None when not known."""

    def __init__(self):
        self.pages = [None] * 32

    def note(self, w, v, old_at, new_at):
        if not is_adrp(w):
            return
        same = is_adrp(v) and v & 31 == w & 31
        self.pages[w & 31] = ((old_at & PAGE) + adrp_offset(w) & M64,
                              (new_at & PAGE) + adrp_offset(v) & M64
                              ) if same else None


def arm_kind(w):
    if w & 0x7C000000 == 0x14000000:
        return BRANCH
    if (w & 0xFF000010 == 0x54000000 or w & 0x7E000000 == 0x34000000 or
            w & 0x3B000000 == 0x18000000):
        return NEAR
    if w & 0x7E000000 == 0x36000000:
        return TEST
    if is_adrp(w):
        return ADRP
    return NONE if scale(w) is None else LOW


def arm_unit(unit, data, at, registers):
    w = unit.word
    unit.kind = arm_kind(w)
    if unit.kind in FIELDS:
        begin, bits = FIELDS[unit.kind]
        unit.target = unit.old_at + 4 * signed(w >> begin, bits) & M64
    elif unit.kind == ADRP:
        target = (unit.old_at & PAGE) + adrp_offset(w)
        for i in range(1, 9):
            following = load(data, at + 4 * i)
            if is_adrp(following) and following & 31 == w & 31:
                break
            if scale(following) is not None and following >> 5 & 31 == w & 31:
                target += (following >> 10 & 4095) << scale(following)
                break
        unit.target = target & M64
    elif unit.kind == LOW:
        pages = registers.pages[w >> 5 & 31]
        if pages is None:
            unit.kind = NONE
        else:
            unit.target = pages[0] + ((w >> 10 & 4095) << scale(w)) & M64
            unit.new_page = pages[1]


# --- x86-64 and Thumb-2


def is_x86_field(data, at):
    if 3 < data[at + 3] < 0xFC:
        return False
    one, two, three = data[at - 1], data[at - 2], data[at - 3]
    if one & 0xFE == 0xE8 or (two == 0x0F and one & 0xF0 == 0x80):
        return True
    return one & 0xC7 == 0x05 and (three == 0x0F or two in X86_OPCODES)


def is_thumb_branch(w):
    return w & 0xF800 == 0xF000 and w & 0x90000000 == 0x90000000


def thumb_offset(w):
    s = w >> 10 & 1
    i1, i2 = 1 ^ w >> 29 & 1 ^ s, 1 ^ w >> 27 & 1 ^ s
    return signed(s << 24 | i1 << 23 | i2 << 22 | (w & 0x3FF) << 12 |
                  (w >> 16 & 0x7FF) << 1, 25)


def thumb_word(w, offset):
    s = offset >> 24 & 1
    j1, j2 = (offset >> 23 & 1) ^ 1 ^ s, (offset >> 22 & 1) ^ 1 ^ s
    return (w & ~THUMB_MASK | s << 10 | offset >> 12 & 0x3FF | j1 << 29 |
            j2 << 27 | (offset >> 1 & 0x7FF) << 16)


def unit_at(content, data, at, room, old_at, new_at, registers):
    """The unit at data[at]; 8 bytes before and 36 behind must be there."""
    odd, size, kind = old_at & 3, 4, NONE
    w = load(data, at)
    if content == X86:
        if room >= 4 and is_x86_field(data, at):
            kind = X86_FIELD
        else:
            size = 1
            while size < 4 and not is_x86_field(data, at + size):
                size += 1
    elif content == THUMB:
        address = w >> 24 in (0, 8, 16, 32) and w & 0xFFFFFF >= 0x100
        if odd & 1:
            size = 1
        elif room >= 4 and is_thumb_branch(w):
            kind = THUMB_BRANCH
        elif room >= 4 and odd == 0 and address:
            kind = POINTER
        else:
            size = 2
    else:
        size = 4 - odd
    size = min(size, room)
    unit = Unit(size, kind, load(data, at, size), old_at, new_at)
    if size == 4 and content == ARM64:
        arm_unit(unit, data, at, registers)
    elif size == 4 and content == DATA and w >= 4096:
        unit.kind = POINTER
    elif (size == 4 and content == OFFSETS and w >= 64 and
          not 3 < w >> 24 < 0xFC):
        unit.kind = DISTANCE
    if unit.kind == POINTER:
        unit.target = unit.word
    elif unit.kind == DISTANCE:
        unit.target = old_at + signed(w, 32) & M64
    elif unit.kind == X86_FIELD:
        unit.target = old_at + 4 + signed(w, 32) & M64
    elif unit.kind == THUMB_BRANCH:
        unit.target = old_at + 4 + thumb_offset(w) & M64
    return unit


def redirect(unit, shift):
    """The word when the target moved; None when it cannot say so."""
    w, n = unit.word, unit.new_at
    t = unit.target + shift & M64
    if unit.kind == NONE:
        return w + shift & (1 << 8 * unit.size) - 1
    if unit.kind == POINTER:
        return t & M32
    if unit.kind in FIELDS:
        if (t - n) & 3:
            return None
        begin, bits = FIELDS[unit.kind]
        mask = (1 << bits) - 1
        return w & ~(mask << begin) | ((t - n >> 2) & mask) << begin
    if unit.kind == ADRP:
        pages = (t >> 12) - (n >> 12)
        return (w & 0x9F00001F | (pages & 3) << 29 |
                (pages >> 2 & 0x7FFFF) << 5)
    if unit.kind == LOW:
        low = t & 4095
        if low & (1 << scale(w)) - 1:
            return None
        return w & ~(4095 << 10) | low >> scale(w) << 10
    if unit.kind == X86_FIELD:
        return t - n - 4 & M32
    if unit.kind == DISTANCE:
        return t - n & M32
    return None if (t - n - 4) & 1 else thumb_word(w, t - n - 4)


def shift_of(unit, v):
    """By how much the target moved, signed in 64 bits; None: not told."""
    w, n, changed = unit.word, unit.new_at, unit.word ^ v
    if unit.kind in (NONE, POINTER):
        return signed(v - w, 32)
    if unit.kind == ADRP:
        return None
    if unit.kind in FIELDS:
        begin, bits = FIELDS[unit.kind]
        if changed & ~((1 << bits) - 1 << begin):
            return None
        there = n + 4 * signed(v >> begin, bits)
    elif unit.kind == LOW:
        if changed & ~(4095 << 10):
            return None
        there = unit.new_page + ((v >> 10 & 4095) << scale(v))
    elif unit.kind == X86_FIELD:
        there = n + 4 + signed(v, 32)
    elif unit.kind == DISTANCE:
        there = n + signed(v, 32)
    else:
        if changed & ~THUMB_MASK:
            return None
        there = n + 4 + thumb_offset(v)
    return signed(there - unit.target, 64)


def opcode_class(content, unit, data, at):
    if content in (DATA, OFFSETS):
        return (unit.old_at & 7) << 8 | data[at + 3]
    if content == ARM64:
        return unit.word >> (26 if unit.kind == BRANCH else 21)
    if content == X86:
        return data[at - 1] | data[at - 2] << 8 | data[at] << 16
    return data[at + 1]
