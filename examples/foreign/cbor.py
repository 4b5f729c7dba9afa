"""CBOR (RFC 8949) for bodies, as docs/PROTOCOL.md requires: a strict decoder and a plain encoder."""

import math
import re
import struct

DEPTH, ITEMS, NUMBERS_AS_KEYS, KEY, BIGNUM = 64, 100_000, 4_096, 1_024, 1_024
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
TYPED_ARRAYS = {64: 1, 65: 2, 66: 4, 67: 8, 68: 1, 69: 2, 70: 4, 71: 8, 72: 1, 73: 2, 74: 4, 75: 8,
                77: 2, 78: 4, 79: 8, 80: 2, 81: 4, 82: 8, 84: 2, 85: 4, 86: 8}


class Tag:
    """A tag and its content, as received."""

    def __init__(self, number, value):
        self.number, self.value = number, value


class Simple:
    """A simple value without a Python equivalent. 23 is undefined."""

    def __init__(self, number):
        self.number = number


class Pairs(list):
    """A map with keys other than text."""


UNDEFINED = Simple(23)


def head(major, n):
    """Encode the head of an item, in the shortest form."""
    if n < 24:
        return bytes([major << 5 | n])
    size = next(size for size in range(4) if n < 1 << (8 << size))
    return bytes([major << 5 | 24 + size]) + n.to_bytes(1 << size, "big")


def encode(value):
    """Encode one item."""
    if value is None or isinstance(value, bool):
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
    if isinstance(value, int):
        n = value if value >= 0 else -1 - value
        if n < 1 << 64:
            return head(0 if value >= 0 else 1, n)
        return head(6, 2 if value >= 0 else 3) + encode(n.to_bytes((n.bit_length() + 7) // 8, "big"))
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, Tag):
        return head(6, value.number) + encode(value.value)
    if isinstance(value, Simple):
        return head(7, value.number)
    if isinstance(value, (Pairs, dict)):
        pairs = list(value.items() if isinstance(value, dict) else value)
        return head(5, len(pairs)) + b"".join(encode(part) for pair in pairs for part in pair)
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"Cannot encode {type(value).__name__}")


def decode(data):
    """Decode `data` as one item; ValueError if it is malformed or exceeds a limit."""
    reader = Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise ValueError("Cannot decode CBOR: bytes follow the item")
    return value


class Reader:
    def __init__(self, data):
        self.data, self.at, self.items, self.numbers = data, 0, 0, 0

    def item(self, depth):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            return self.simple(info)
        if 4 <= major <= 6 and depth >= DEPTH:
            raise ValueError(f"Cannot decode CBOR: more than {DEPTH} levels")
        n = self.number(info, indefinite=2 <= major <= 5)
        if major < 2:
            return n if major == 0 else -1 - n
        if major < 4:
            return self.string(major, n)
        if major == 6:
            self.charge(64)
            return self.tagged(n, self.item(depth + 1))
        return self.collection(major, n, depth + 1)

    def take(self, count):
        if count > len(self.data) - self.at:
            raise ValueError("Cannot decode CBOR: the data ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def charge(self, cost):
        """Charge 64ths of an item."""
        self.items += cost
        if self.items >= 64 * (ITEMS + 1):
            raise ValueError(f"Cannot decode CBOR: more than {ITEMS} items")

    def number(self, info, indefinite=False):
        """The argument of a head; None for indefinite length."""
        if info < 24:
            return info
        if info == 31 and indefinite:
            return None
        if info > 27:
            raise ValueError("Cannot decode CBOR: a reserved length")
        return int.from_bytes(self.take(1 << info - 24), "big")

    def at_break(self):
        """Consume the break that ends an indefinite length, if it is next."""
        if self.data[self.at:self.at + 1] != b"\xff":
            return False
        self.at += 1
        return True

    def string(self, major, n):
        chunks = []
        if n is not None:
            chunks.append(self.take(n))
        else:
            while not self.at_break():
                first = self.take(1)[0]
                if first >> 5 != major:
                    raise ValueError("Cannot decode CBOR: a chunk of another type")
                self.charge(64)
                chunks.append(self.take(self.number(first & 31)))
        self.charge(127 if major == 2 else 15)
        if major == 2:
            return b"".join(chunks)
        return "".join(chunk.decode() for chunk in chunks)  # each chunk must be valid UTF-8

    def collection(self, major, n, depth):
        each = major - 3
        self.charge(15)
        if n is not None:
            if n * each > len(self.data) - self.at:
                raise ValueError("Cannot decode CBOR: the data ends too early")
            self.charge(n * each)
        parts = []
        while len(parts) < n * each if n is not None else not self.at_break():
            if n is None:
                self.charge(1)
            parts.append(self.item(depth))
            if major == 5 and len(parts) % 2 and isinstance(parts[-1], str):
                self.items -= 13  # rows have the same keys; a decoder may count less than the table says
        if major == 4:
            return parts
        if len(parts) % 2:
            raise ValueError("Cannot decode CBOR: a key without a value")
        pairs = list(zip(parts[::2], parts[1::2]))
        self.distinct([key for key, _ in pairs], "a key")
        if not all(isinstance(key, str) for key, _ in pairs):
            return Pairs(pairs)
        if any(key == "__proto__" for key, _ in pairs):
            raise ValueError("Cannot decode CBOR: the key __proto__")
        return dict(pairs)

    def distinct(self, values, what):
        """Reject duplicates. Numbers are compared by value, whatever their encoding."""
        seen = set()
        for value in values:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.numbers += 1
                value = int(value) if value == value and abs(value) != math.inf and value == int(value) else value
            if isinstance(value, (str, bytes)) and len(value if isinstance(value, bytes) else value.encode()) > KEY:
                raise ValueError(f"Cannot decode CBOR: {what} of more than {KEY} bytes")
            seen.add(encode(value))
        if len(seen) < len(values):
            raise ValueError(f"Cannot decode CBOR: {what} occurs twice")
        if self.numbers > NUMBERS_AS_KEYS:
            raise ValueError(f"Cannot decode CBOR: more than {NUMBERS_AS_KEYS} numbers as keys")

    def tagged(self, number, value):
        kind = type(value)
        if number == 55799:  # "this is CBOR", RFC 8949 section 3.4.6
            return value
        if number in (2, 3):
            if kind is not bytes or len(value) > BIGNUM:
                raise ValueError("Cannot decode CBOR: an invalid bignum")
            self.charge(len(value) // 16 * 64)
            n = int.from_bytes(value, "big")
            return n if number == 2 else -1 - n
        if number == 258 and kind is list:
            self.distinct(value, "a value of a set")
        wrong = (
            number == 0 and not (kind is str and DATE.fullmatch(value))
            or number == 1 and not (kind in (int, float) and math.isfinite(value))
            or number == 258 and kind is not list
            or number == 259 and kind not in (dict, Pairs)
            or number in TYPED_ARRAYS and (kind is not bytes or len(value) % TYPED_ARRAYS[number] > 0)
        )
        if wrong:
            raise ValueError(f"Cannot decode CBOR: invalid content of tag {number}")
        return Tag(number, value)

    def simple(self, info):
        if info < 20:
            return Simple(info)
        if info < 24:
            return (False, True, None, UNDEFINED)[info - 20]
        if info > 27:
            raise ValueError("Cannot decode CBOR: a reserved item or a stray break")
        raw = self.take(1 << info - 24)
        if info > 24:
            return struct.unpack({25: ">e", 26: ">f", 27: ">d"}[info], raw)[0]
        if raw[0] < 32:
            raise ValueError("Cannot decode CBOR: a reserved simple value")
        return Simple(raw[0])
