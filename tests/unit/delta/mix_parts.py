"""The parts of SDELTA's context model: what decodes, mixes and learns.

Written from docs/delta-entropy.md; it shares no code with the applier.
"""
M32 = (1 << 32) - 1
M64 = (1 << 64) - 1
LIMIT = 3071


class Damaged(Exception):
    pass


# --- Logistic values


def _squash_table():
    table = [0] * (2 * LIMIT + 1)
    e = 1 << 20
    for x in range(LIMIT + 1):
        p = min(65535, (e << 16) // (e + (1 << 20)))
        table[LIMIT + x] = p
        table[LIMIT - x] = 65536 - p
        e += e * 16810027 >> 32
    return table


_SQUASH = _squash_table()


def squash(x):
    return _SQUASH[x + LIMIT]


def _stretch_table():
    table, x = [], -LIMIT
    for cell in range(4096):
        while x < LIMIT and squash(x) < cell * 16 + 8:
            x += 1
        table.append(x)
    return table


_STRETCH = _stretch_table()


def limit(x):
    return max(-LIMIT, min(LIMIT, x))


# --- What learns


class Adaptive:
    """Lists of adaptive probabilities: p of 22 bits, and counts."""

    def __init__(self, firsts):
        self.p = [first << 6 for first in firsts]
        self.n = [0] * len(firsts)

    def p16(self, i):
        return self.p[i] >> 6

    def update(self, i, bit, most):
        n = self.n[i]
        rate = 131072 // (2 * n + 3)
        if bit:
            self.p[i] += ((1 << 22) - 1 - self.p[i]) * rate >> 16
        else:
            self.p[i] -= self.p[i] * rate >> 16
        self.n[i] = min(n + 1, most)


def evens(count):
    return Adaptive([32768] * count)


def _history_states():
    most = [30, 16, 10, 7, 6, 5]

    def allowed(a, b):
        return min(a, b) < 6 and max(a, b) <= most[min(a, b)]

    states, number = [], {}
    for total in range(31):
        for zeros in range(total + 1):
            ones = total - zeros
            if not allowed(zeros, ones):
                continue
            for last in (0, 1) if zeros and ones else (0,):
                number[zeros, ones, last] = len(states)
                states.append((zeros, ones))
            if not (zeros and ones):
                number[zeros, ones, 1] = number[zeros, ones, 0]
    following = [[], []]
    for bit in (0, 1):
        for zeros, ones in states:
            same, other = (ones + 1, zeros) if bit else (zeros + 1, ones)
            if other > 2:
                other = other // 2 + 1
            while not allowed(same, other):
                if same > 1 and same >= other:
                    same -= 1
                else:
                    other -= 1
            key = (other, same, 1) if bit else (same, other, 0)
            following[bit].append(number[key])
    return states, following


STATES, NEXT = _history_states()
WEIGHT = [zeros + ones for zeros, ones in STATES]
FIRST = [65536 * (2 * ones + 1) // (2 * (zeros + ones) + 2)
         for zeros, ones in STATES]


class Mixer:
    def __init__(self, inputs, rate):
        self.start = [98304 // inputs] * inputs
        self.rate = rate
        self.a, self.b = {}, {}

    def mix(self, x, set_a, set_b):
        self.x = x
        self.wa = self.a.get(set_a) or self.new(self.a, set_a)
        self.wb = self.b.get(set_b) or self.new(self.b, set_b)
        self.sa = limit(sum(w * v >> 8 for w, v in zip(self.wa, x)) >> 8)
        self.sb = limit(sum(w * v >> 8 for w, v in zip(self.wb, x)) >> 8)
        return self.sa + self.sb >> 1

    def new(self, sets, which):
        sets[which] = list(self.start)
        return sets[which]

    def update(self, bit):
        most = (1 << 19) - 1
        for weights, s in ((self.wa, self.sa), (self.wb, self.sb)):
            error = ((65535 if bit else 0) - squash(s)) * self.rate
            for i, x in enumerate(self.x):
                w = weights[i] + (x * error + (1 << 17) >> 18)
                weights[i] = max(-most, min(most, w))


class FinalMap:
    def __init__(self):
        self.rows = {}

    def refine(self, logistic, row):
        cells = self.rows.get(row)
        if cells is None:
            cells = [squash(limit((i - 12) * 256)) for i in range(25)]
            self.rows[row] = cells
        x = logistic + 3072
        i, f = x >> 8, x & 255
        self.cells, self.at = cells, i + (f >= 128)
        return cells[i] * (256 - f) + cells[i + 1] * f >> 8

    def update(self, bit):
        c = self.cells[self.at]
        self.cells[self.at] += (65535 - c >> 6) if bit else -(c >> 6)


def mix_hash(a, b=0, c=0, d=0):
    h = (a + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 & M64
    h = (h ^ h >> 29 ^ b) * 0x94D049BB133111EB & M64
    h = (h ^ h >> 31 ^ c) * 0xD6E8FEB86659FD93 & M64
    h = (h ^ h >> 30 ^ d) * 0xA0761D6478BD642F & M64
    return (h ^ h >> 32) >> 8 & M32


# --- Arithmetic decoder


class Decoder:
    def __init__(self, window):
        self.window, self.at = window, 0
        self.low, self.high, self.value = 0, M32, 0
        for _ in range(4):
            self.value = self.value << 8 | self.next_byte()

    def next_byte(self):
        self.at += 1
        if self.at > len(self.window) + 4:
            raise Damaged("a window's coded bytes end too early")
        return self.window[self.at - 1] if self.at <= len(self.window) else 0

    def bit(self, p):
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = self.value <= middle
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            self.low = self.low << 8 & M32
            self.high = (self.high << 8 | 255) & M32
            self.value = (self.value << 8 & M32) | self.next_byte()
        return int(bit)

    def end(self):
        if self.at < len(self.window):
            raise Damaged("a window has bytes that nothing needs")


# --- Numbers and places


class Numbers:
    def __init__(self):
        self.kinds = {}
        self.distances = [0] * 8
        self.hits = [evens(8) for _ in range(9)]
        self.last_hit = 0

    @staticmethod
    def coded(decoder, adaptive, i):
        bit = decoder.bit(max(16, min(65520, adaptive.p16(i))))
        adaptive.update(i, bit, 60)
        return bit

    def number(self, decoder, name):
        kind = self.kinds.get(name)
        if kind is None:
            kind = {"last": 0, "trees": {}, "high": {}, "low": evens(64)}
            self.kinds[name] = kind
        tree = kind["trees"].setdefault(kind["last"] // 4, evens(128))
        node = 1
        for _ in range(7):
            node = node << 1 | self.coded(decoder, tree, node)
        bits = min(node & 127, 64)
        kind["last"] = bits
        if bits < 2:
            return bits
        result = 1
        for place in range(bits - 2, -1, -1):
            done = bits - 2 - place
            if done < 3:
                table = kind["high"].setdefault(bits, evens(8))
                i = (1 << done) + (result & (1 << done) - 1)
            else:
                table, i = kind["low"], place
            result = result << 1 | self.coded(decoder, table, i)
        return result

    def place(self, decoder, new_at):
        hit = 8
        for i in range(8):
            if self.coded(decoder, self.hits[self.last_hit], i):
                hit = i
                break
        self.last_hit = hit
        if hit < 8:
            distance = self.distances.pop(hit)
        else:
            step = self.number(decoder, "distance")
            step = -(step >> 1) - 1 if step & 1 else step >> 1
            distance = self.distances[0] + step & M64
            self.distances.pop()
        self.distances.insert(0, distance)
        return distance + new_at & M64


# --- Decisions and bytes


class Decisions:
    def __init__(self, entries):
        self.states = [bytearray(entries) for _ in range(8)]
        self.maps = [Adaptive(FIRST) for _ in range(8)]
        self.mixer = Mixer(8, 3)

    def decide(self, decoder, contexts, set_a, set_b):
        places, x = [], []
        for table, history, h in zip(self.states, self.maps, contexts):
            place = h * len(table) >> 32
            places.append(place)
            x.append(_STRETCH[history.p16(table[place]) >> 4])
        p = squash(self.mixer.mix(x, set_a, set_b))
        bit = decoder.bit(max(2, min(65534, p)))
        for table, history, place in zip(self.states, self.maps, places):
            history.update(table[place], bit, 255)
            table[place] = NEXT[bit][table[place]]
        self.mixer.update(bit)
        return bit


class ByteCoder:
    def __init__(self, lines):
        self.lines, self.count = bytearray(lines * 64), lines
        self.maps = [[Adaptive(FIRST) for _ in range(8)] for _ in range(2)]
        self.guesses = {}
        self.mixer = Mixer(12, 6)
        self.final = FinalMap()

    def find(self, h):
        line = (h * self.count >> 32) * 64
        check = h & 255
        for bucket in range(line, line + 64, 16):
            if self.lines[bucket] == check:
                return bucket
        least = min(range(line, line + 64, 16),
                    key=lambda b: WEIGHT[self.lines[b + 1]])
        self.lines[least:least + 16] = bytes([check] + [0] * 15)
        return least

    def byte(self, decoder, contexts, guesses, mode, mix_set):
        """guesses: (byte, context), four of them."""
        maps, lines, node = self.maps[mode], self.lines, 1
        for at in range(8):
            if at == 0:
                buckets = [self.find(h) for h in contexts]
            elif at == 4:
                second = [(h + node) * 0x9E3779B1 & M32 for h in contexts]
                buckets = [self.find(h ^ h >> 15) for h in second]
            slot = 1 << (at & 3) | node & (1 << (at & 3)) - 1
            x = [_STRETCH[m.p16(lines[b + slot]) >> 4]
                 for m, b in zip(maps, buckets)]
            used, agreeing = [], 0
            for g, (byte, context) in enumerate(guesses):
                if (byte | 256) >> 8 - at != node:
                    x.append(0)
                    continue
                expected = byte >> 7 - at & 1
                key = g, context, at, expected
                one = self.guesses.get(key)
                if one is None:
                    one = self.guesses[key] = evens(1)
                used.append(one)
                x.append(_STRETCH[one.p16(0) >> 4])
                if g == 0:
                    agreeing = 1 + expected
            logistic = self.mixer.mix(x, mix_set, mode << 8 | node)
            refined = self.final.refine(logistic,
                                        mode << 10 | agreeing << 8 | node)
            p = squash(logistic) + 3 * refined + 2 >> 2
            bit = decoder.bit(max(16, min(65520, p)))
            for m, b in zip(maps, buckets):
                m.update(lines[b + slot], bit, 255)
                lines[b + slot] = NEXT[bit][lines[b + slot]]
            for one in used:
                one.update(0, bit, 255)
            self.mixer.update(bit)
            self.final.update(bit)
            node = node << 1 | bit
        return node & 255
