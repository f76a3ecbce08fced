"""Image maps of SDELTA: from an image to its expanded one and back.

Written from docs/delta-image.md; it shares no code with the applier.
"""
import block_codecs as codecs

RAW, BLOCK, VERBATIM = range(3)


class BadMap(Exception):
    pass


def require(holds, what):
    if not holds:
        raise BadMap(what)


class Segment:
    def __init__(self, kind, setting):
        self.kind, self.setting = kind, setting
        self.stored = self.raw = self.old_place = 0
        self.pieces = []

    def inner(self):
        return (self.stored, self.raw, 0)[self.kind]


def unzigzag(v):
    return -(v >> 1) - 1 if v & 1 else v >> 1


def take_pieces(take, segment):
    count, left = take.varint(), segment.raw
    require(1 <= count <= 1024, "pieces")
    for _ in range(count - 1):
        word = take.varint()
        length, sequence = word >> 1, None
        if word & 1:
            sequence = take.varint(), take.varint()
            require(length - sequence[0] >= 4, "a sequence")
        require(1 <= length < left, "a piece")
        left -= length
        segment.pieces.append((length, sequence))
    return count


def take_layer(take, settings, outer, old_outer):
    segments = []
    count = take.varint()
    require(count <= 1 << 20, "too many segments")
    for byte in take.take(count):
        require(byte & 3 <= VERBATIM, "a kind")
        setting = None
        if byte & 3 == BLOCK:
            require(byte >> 2 < len(settings), "a setting")
            setting = settings[byte >> 2]
        segments.append(Segment(byte & 3, setting))
    for segment in segments:
        segment.stored = take.varint()
        require(segment.stored >= 1, "an empty segment")
    require(sum(s.stored for s in segments) == outer, "lengths")
    blocks = [s for s in segments if s.kind == BLOCK]
    for segment in blocks:
        segment.raw = take.varint()
        require(segment.raw >= 1, "an empty block")
    end = 0
    for segment in segments:
        if segment.kind != VERBATIM:
            continue
        require(old_outer is not None, "verbatim in an old map")
        segment.old_place = end + unzigzag(take.varint())
        end = segment.old_place + segment.stored
        require(0 <= segment.old_place and end <= old_outer, "a place")
    in_pieces = [s for s in blocks if s.setting.codec == codecs.LZ4HC_PIECES]
    if in_pieces:
        total = take.varint()
        require(sum(take_pieces(take, s) for s in in_pieces) == total,
                "the number of pieces")
    return segments


class ImageMap:
    def __init__(self, take, old=None):
        self.image_size = take.varint()
        count = take.varint()
        require(count <= 64, "settings")
        self.settings = [codecs.Setting(take.take(12)) for _ in range(count)]
        layers = take.varint()
        require(layers <= 3, "layers")
        self.layers, self.outer = [], []
        size = self.image_size
        for i in range(layers):
            old_outer = old.outer[i] if old and i < len(old.outer) else None
            self.layers.append(take_layer(take, self.settings, size, old_outer))
            self.outer.append(size)
            size = sum(s.inner() for s in self.layers[-1])
        self.expanded_size = size


def check_codecs(take, new_map):
    """What differs here; None: nothing."""
    for codec in sorted({s.codec for s in new_map.settings}):
        name = take.take(take.byte()).decode("latin-1")
        if name != codecs.LIBRARIES[codec]:
            return f"made with {name}, here is {codecs.LIBRARIES[codec]}"
    for setting in new_map.settings:
        if take.take(4) != codecs.fingerprint(setting):
            return "a library makes other bytes here"
    return None


def expand(old_map, image):
    """The outer images of all layers, then the expanded one."""
    images = [bytes(image)]
    for layer in old_map.layers:
        inner, at = [], 0
        for segment in layer:
            stored = images[-1][at:at + segment.stored]
            at += segment.stored
            if segment.kind == BLOCK:
                stored = codecs.expand(segment.setting, stored, segment.raw)
                require(stored is not None and len(stored) == segment.raw,
                        "a block of the base does not expand")
            inner.append(stored)
        images.append(b"".join(inner))
    return images


def rebuild(new_map, old_images, expanded):
    image = bytes(expanded)
    for depth in reversed(range(len(new_map.layers))):
        outer, at = [], 0
        for segment in new_map.layers[depth]:
            piece = image[at:at + segment.inner()]
            at += segment.inner()
            if segment.kind == VERBATIM:
                place = segment.old_place
                piece = old_images[depth][place:place + segment.stored]
            elif segment.kind == BLOCK:
                if segment.setting.codec == codecs.LZ4HC_PIECES:
                    piece = codecs.lz4_pieces(segment.setting.level, piece,
                                              segment.pieces)
                else:
                    piece = codecs.compress(segment.setting, piece)
                require(len(piece) == segment.stored, "a block's length")
            outer.append(piece)
        image = b"".join(outer)
    return image
