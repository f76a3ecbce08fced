"""The context model of SDELTA's coding 2: stretches, units, new regions.

Written from docs/delta-entropy.md; it shares no code with the applier.
"""
from mix_parts import (M32, M64, ByteCoder, Damaged, Decisions, Decoder,
                       Numbers, evens, mix_hash)
from mix_units import (ARM64, NONE, POINTER, Registers, load, opcode_class,
                       redirect, shift_of, unit_at)

MARGIN = 32
BLOCK = 4096
BASES = (0, 0x08000000, 0x00400000, 0x81000000, 0x1000, 0x2000, 0x3000,
         0x08008000)
LEVELS = {
    1: (7500, 16384, (8192, 4096, 8192, 2048, 512)),
    2: (20000, 32768, (32768, 8192, 16384, 4096, 1024)),
    3: (42000, 65536, (65536, 32768, 65536, 8192, 2048)),
    4: (110000, 131072, (131072, 32768, 65536, 8192, 2048)),
}
PLACES, POINTERS, WORDS = range(3)
FROM_LAST, FROM_OLD, FROM_PLACES = 5, 6, 7


class TargetMap:
    BITS = (0, 6, 9, 12, 16)

    def __init__(self, sizes):
        self.sizes = sizes
        self.tables = [{} for _ in sizes]

    def spot(self, level, space, target):
        h = (target >> self.BITS[level] ^ space << 60) * 0x9E3779B97F4A7C15
        h &= M64
        return (h >> 32) * self.sizes[level] >> 32, h >> 16 & 0xFFFF

    def find(self, level, space, target):
        """(shift, hits), or None."""
        spot, tag = self.spot(level, space, target)
        entry = self.tables[level].get(spot)
        return entry[1:] if entry and entry[0] == tag else None

    def put(self, level, space, target, shift):
        spot, tag = self.spot(level, space, target)
        entry = self.tables[level].get(spot)
        hits = 0
        if entry and entry[:2] == (tag, shift):
            hits = min(entry[2] + 1, 3)
        self.tables[level][spot] = tag, shift, hits

    def moved(self, old_at, size, shift):
        for level in 2, 3, 4:
            step = 1 << self.BITS[level]
            at = old_at
            while at < old_at + size:
                self.put(level, PLACES, at, shift)
                at += step - at % step


class Model:
    """One life of the model, which is one group."""

    def __init__(self, level):
        lines, flags, targets = LEVELS[level]
        self.bytes, self.decisions = ByteCoder(lines), Decisions(flags)
        self.numbers, self.targets = Numbers(), TargetMap(targets)
        self.contents = [evens(8) for _ in range(5)]
        self.content = 0
        self.past = [0] * 4  # histories of decisions
        self.run = self.previous_word = self.missed = self.hits = 0
        self.latest = bytes(16)  # of the result
        self.differences = bytes(8)
        self.deltas = [0, 0]
        self.last_shift = [0] * 10
        self.scores, self.base = [0] * 8, 0
        self.registers = Registers()

    def begin_window(self, window):
        self.decoder = Decoder(window)

    def end_window(self):
        self.decoder.end()

    def number(self, name):
        return self.numbers.number(self.decoder, name)

    def place(self, new_at):
        return self.numbers.place(self.decoder, new_at)

    def moved(self, old_at, new_at, size):
        shift = new_at - old_at
        if -1 << 31 <= shift < 1 << 31:
            self.targets.moved(old_at, size, shift)

    def tell(self, byte, old):
        self.latest = self.latest[1:] + bytes([byte])
        self.differences = self.differences[1:] + bytes([byte - old & 255])

    def recent(self, n):
        return int.from_bytes(self.latest[-n:], "big")

    def back(self, n):
        return self.latest[-n]

    # --- similar regions

    def add(self, base, old_at, new_at, size):
        out = bytearray()
        for start in range(0, size, BLOCK):
            n = min(BLOCK, size - start)
            self.old = base.around(old_at + start, n)
            self.old_at, self.new_at = old_at + start, new_at + start
            self.moved(self.old_at, self.new_at, n)
            out += self.block(n)
        return out

    def block(self, size):
        if self.stretch(0, 0, size):
            return self.copied(0, size)
        row, node = self.contents[self.content], 1
        for _ in range(3):
            node = node << 1 | Numbers.coded(self.decoder, row, node)
        self.content = min(node & 7, 4)
        out, quarter_end = bytearray(), 0
        while len(out) < size:
            at = len(out)
            if at >= quarter_end:
                quarter_end = min((at // 256 + 1) * 256, size)
                if self.stretch(1, at, quarter_end):
                    out += self.copied(at, quarter_end)
                    continue
            self.line(out, min((at // 32 + 1) * 32, quarter_end), size)
        return out

    def unit(self, at, size):
        return unit_at(self.content, self.old, MARGIN + at, size - at,
                       self.old_at + at, self.new_at + at, self.registers)

    def line(self, out, end, size):
        at = stop = len(out)
        stays = True
        while stop < end and stays:
            unit = self.unit(stop, size)
            stays = self.predict(unit)[0][0] == unit.word
            stop += unit.size
        if stays and self.stretch(2, at, stop):
            out += self.copied(at, stop)
            return
        while at < end:
            unit = self.unit(at, size)
            out += self.code_unit(at, unit)
            at += unit.size

    def stretch(self, kind, at, end):
        o, h = MARGIN + at, self.past[kind]
        above = self.past[kind - 1] if kind else 0
        k = kind | self.content << 8
        first, second = load(self.old, o), load(self.old, o + 4)
        equal = self.decisions.decide(self.decoder, (
            mix_hash(k, 1, h & 255),
            mix_hash(k, 2, h & 7, above & 7),
            mix_hash(k, 3, self.run.bit_length()),
            mix_hash(k, 4, first, second),
            mix_hash(k, 5, at, h & 3),
            mix_hash(k, 6, self.previous_word),
            mix_hash(k, 7, h & 65535),
            mix_hash(k, 8, second, h & 3),
        ), kind * 5 + self.content, kind * 16 + (h & 15))
        self.past[kind] = (h << 1 | equal) & M32
        return equal

    def copied(self, at, end):
        piece = bytes(self.old[MARGIN + at:MARGIN + end])
        for byte in piece[-8:]:
            self.tell(byte, byte)
        if len(piece) >= 4:
            self.previous_word = load(piece, len(piece) - 4)
        if self.content == ARM64:
            i = max(0, len(piece) - 32)
            i += -(self.old_at + at + i) & 3
            for i in range(i, len(piece) - 3, 4):
                w = load(piece, i)
                self.registers.note(w, w, self.old_at + at + i,
                                    self.new_at + at + i)
        return piece

    # --- units

    def predict(self, unit):
        """(word, source) of each prediction."""
        found = []

        def offer(word, source):
            if (word is not None and len(found) < 3 and
                    all(word != other for other, _ in found)):
                found.append((word, source))

        pointer, words = unit.kind == POINTER, unit.kind == NONE
        space = WORDS if words else POINTERS if pointer else PLACES
        for level in range(1 if words else 5):
            if level == 3 and pointer:
                offer(unit.word, FROM_OLD * 4)
            score = self.scores[self.base]
            if level == 1 and pointer and score > 0:
                entry = self.targets.find(
                    2, PLACES, unit.word - BASES[self.base] & M64)
                if entry:
                    offer(redirect(unit, entry[0]),
                          FROM_PLACES * 4 + min(score // 8, 3))
            entry = self.targets.find(level, space, unit.key())
            if entry:
                offer(redirect(unit, entry[0]), level * 4 + entry[1])
        if not words:
            offer(redirect(unit, self.last_shift[unit.kind]), FROM_LAST * 4)
        offer(unit.word, FROM_OLD * 4)
        return found

    def learn(self, unit, first, word):
        shift = shift_of(unit, word)
        if shift is None or not -1 << 31 <= shift < 1 << 31:
            return
        pointer, words = unit.kind == POINTER, unit.kind == NONE
        if (pointer or words) and word == unit.word == first:
            return
        near = -1 << 24 < shift < 1 << 24
        if pointer and shift != 0 and near:
            self.judge(unit, shift)
        space = WORDS if words else POINTERS if pointer else PLACES
        for level in range(5 if near and not words else 1):
            self.targets.put(level, space, unit.key(), shift)
        self.last_shift[unit.kind] = shift

    def judge(self, unit, shift):
        for i, base in enumerate(BASES):
            entry = self.targets.find(2, PLACES, unit.word - base & M64)
            if not entry:
                continue
            if entry[0] == shift:
                self.scores[i] = min(self.scores[i] + 2, 63)
            elif self.scores[i] > 0:
                self.scores[i] -= 1
            if self.scores[i] > self.scores[self.base]:
                self.base = i

    def code_unit(self, at, unit):
        o = MARGIN + at
        predictions = self.predict(unit)
        opcode = opcode_class(self.content, unit, self.old, o)
        before, after = load(self.old, o - 4), load(self.old, o + unit.size)
        word = None
        for k, (guess, source) in enumerate(predictions):
            h = self.past[3]
            what = (self.content | unit.kind << 2 | unit.size << 6 | k << 10 |
                    (guess == unit.word) << 12 | 3 << 14)
            worth = source
            if k + 1 < len(predictions):
                worth |= predictions[k + 1][1] + 1 << 8
            hit = self.decisions.decide(self.decoder, (
                mix_hash(what, 11, worth, h & 3),
                mix_hash(what, 12, unit.word),
                mix_hash(what, 13, opcode, h & 15),
                mix_hash(what, 14, unit.key(), self.previous_word),
                mix_hash(what, 15, self.run.bit_length(), source),
                mix_hash(what, 16, h & 4095),
                mix_hash(what, 17, after, opcode),
                mix_hash(what, 18, before, opcode),
            ), 16 + 16 * k + unit.kind, (32 if k else 0) + min(source, 31))
            self.past[3] = (h << 1 | hit) & M32
            if hit:
                word = guess
                break
        self.run = self.run + 1 if word is not None and k == 0 else 0
        if word is None:
            word = self.unit_bytes(unit, predictions[0][0], opcode, o)
            self.deltas = [word - unit.word & M32, self.deltas[0]]
        else:
            for i in range(unit.size):
                self.tell(word >> 8 * i & 255, self.old[o + i])
        self.learn(unit, predictions[0][0], word)
        if self.content == ARM64 and unit.size == 4:
            self.registers.note(unit.word, word, unit.old_at, unit.new_at)
        self.previous_word = unit.word
        return word.to_bytes(unit.size, "little")

    def unit_bytes(self, unit, first, q, at):
        words = (first, unit.word + self.deltas[0], unit.word + self.deltas[1])
        so_far, agreeing = 0, 7
        known = unit.kind != NONE
        for i in range(unit.size):
            place = i | unit.size << 2 | unit.kind << 5 | self.content << 9
            o, o1, o2 = (self.old[at + i], self.old[at + i - 1],
                         self.old[at + i + 1])
            h1, h2, h4 = self.recent(1), self.recent(2), self.recent(4)
            d1 = self.differences[-1]
            d4 = int.from_bytes(self.differences[-4:], "big")
            near = o | o1 << 8 | o2 << 16
            guesses = [w >> 8 * i & 255 for w in words]
            g = guesses[0]
            what, other = 4 | g << 8 | place << 16, 4 | place << 16
            hit = self.decisions.decide(self.decoder, (
                mix_hash(what, 1, o),
                mix_hash(what, 2, o | h1 << 8 | o1 << 16),
                mix_hash(what, 3, near, d1),
                mix_hash(what, 4, h4),
                mix_hash(other, 5, d4),
                mix_hash(other, 6, agreeing, self.missed),
                mix_hash(what, 7, q, so_far),
                mix_hash(what, 8, h2),
            ), 64 + (i | 4 * known), 64 + (agreeing | 8 * (g == o)))
            byte = g
            if not hit:
                offered = [
                    (guess, i | (agreeing >> j & 1) << 2 | known << 3 |
                     (self.missed >> 3 * j & 7) << 4 | (unit.size == 4) << 7)
                    for j, guess in enumerate(guesses)]
                offered.append((o, i | unit.kind << 2))
                byte = self.bytes.byte(self.decoder, (
                    mix_hash(1, place, o),
                    mix_hash(2, o, h1, o1),
                    mix_hash(4, near, d1),
                    mix_hash(6, h4),
                    mix_hash(7, d4, place),
                    mix_hash(8, place, g, agreeing & 1),
                    mix_hash(10, q, so_far, place),
                    mix_hash(13, h2, place),
                ), offered, 0, i | 4 * known | self.content << 3)
            for j, guess in enumerate(guesses):
                if guess != byte:
                    agreeing &= ~(1 << j)
            so_far |= byte << 8 * i
            self.tell(byte, o)
        for j in range(3):
            self.missed = noted(self.missed, j, agreeing >> j & 1)
        return so_far

    # --- new regions

    def insert(self, base, old_at, new_at, size):
        out = bytearray()
        for start in range(0, size, BLOCK):
            n = min(BLOCK, size - start)
            old = base.around(old_at + start, n)
            for i in range(n):
                byte = self.new_byte(old[MARGIN + i],
                                     new_at + start + i & 3)
                out.append(byte)
        return out

    def new_byte(self, old, place):
        guesses = (self.back(12), self.back(8), self.back(4), old)
        fields = [self.hits >> 3 * j & 7 for j in range(4)]
        best = max(range(4), key=lambda j: bin(fields[j]).count("1"))
        g, field = guesses[best], fields[best]
        h1, h2, h3, h4 = (self.recent(n) for n in (1, 2, 3, 4))
        sparse, b12, b16 = h4 & 0xFF00FF00, self.back(12), self.back(16)
        what = 5 | g << 8
        hit = self.decisions.decide(self.decoder, (
            mix_hash(5 | best << 4, 1, self.hits),
            mix_hash(what, 2, h1),
            mix_hash(what, 3, h2),
            mix_hash(what, 4, h3),
            mix_hash(what, 5, h4),
            mix_hash(what, 6, place, b12 | b16 << 8),
            mix_hash(what, 7, place, field),
            mix_hash(what, 8, sparse, place),
        ), 80 + 4 * best + place, 80 + field)
        byte = g
        if not hit:
            byte = self.bytes.byte(self.decoder, (
                mix_hash(21, h1), mix_hash(22, h2), mix_hash(23, h3),
                mix_hash(24, h4), mix_hash(26, self.recent(6)),
                mix_hash(28, place, b12, b16),
                mix_hash(30, sparse, place),
                mix_hash(31, b12, h1, place),
            ), [(guess, place | fields[j] << 2 | 128)
                for j, guess in enumerate(guesses)], 1, 40 + place)
        for j, guess in enumerate(guesses):
            self.hits = noted(self.hits, j, guess == byte)
        self.tell(byte, byte)
        return byte


def noted(fields, j, hit):
    field = (fields >> 3 * j << 1 | hit) & 7
    return fields & ~(7 << 3 * j) | field << 3 * j
