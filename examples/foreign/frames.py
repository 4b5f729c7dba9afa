"""The two lines of the handshake, and frames with their headers: docs/PROTOCOL.md, "Handshake" and "Frames"."""

import json
import re

import cbor

MAGIC, VERSION, LARGEST = 3927900, 1, 2**53 - 1
MAX_LINE, MAX_HEADER, MAX_MESSAGE, MAX_FRAME = 4_096, 16_384, 8_192, 4_194_304
CALL, REPLY, ERROR, ITEM, END, CANCEL, CREDIT, PING, PONG, GOAWAY = range(1, 11)
NOT_STARTED = {"not-started": ""}
CODES = frozenset("canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied "
                  "resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable "
                  "data_loss unauthenticated".split())

# The fields after each kind: n = number, s = seq, t = text, m = metadata, which is optional; then whether a
# body is allowed.
FORMS = {CALL: ("stnm", True), REPLY: ("sm", True), ERROR: ("sttm", True), ITEM: ("s", True), END: ("sm", False),
         CANCEL: ("s", False), CREDIT: ("snn", False), PING: ("n", False), PONG: ("n", False), GOAWAY: ("ntt", False)}
NAME = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)


class RpcError(Exception):
    """The error of a call."""

    def __init__(self, code, message, details=None, not_started=False):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.details, self.not_started = code, message, details, not_started


class Violation(Exception):
    """A protocol violation by the peer: the connection ends with a GoAway."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def malformed(message):
    return Violation("invalid_argument", message)


def frame(header, body=b""):
    """Encode a frame; None if its header is too long."""
    content = cbor.encode(header)
    if len(content) > MAX_HEADER:
        return None
    return b"\x5a" + (len(content) + len(body)).to_bytes(4, "big") + content + body


def cut(message, most=MAX_MESSAGE):
    """Truncate a message to at most `most` bytes, between two characters."""
    return message.encode()[:most].decode(errors="ignore")


def read_header(data):
    """Decode the header of a frame; returns it and the body."""
    reader = HeaderReader(data)
    count, kind = reader.head(4), reader.head(0)
    if kind not in FORMS:
        raise malformed(f"Unknown kind {kind}")
    fields, has_body = FORMS[kind]
    if count != len(fields) + 1 and not (fields.endswith("m") and count == len(fields)):
        raise malformed(f"A header of kind {kind} has {count} elements")
    header = [kind] + [reader.field(form) for form in fields[:count - 1]]
    if fields.endswith("m") and count == len(fields):
        header.append({})
    body = data[reader.at:]
    if body and not has_body:
        raise malformed("An unexpected body")
    return header, body


class HeaderReader:
    """Reads the fields of a header: definite lengths, exact types, any width."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.limit = min(len(data), MAX_HEADER)

    def take(self, count):
        if count > self.limit - self.at:
            if self.limit < len(self.data):
                raise Violation("resource_exhausted", f"A header is over {MAX_HEADER} bytes")
            raise malformed("A header ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def head(self, *majors):
        first = self.take(1)[0]
        info = first & 31
        if first >> 5 not in majors or info > 27:
            raise malformed("A header field has a wrong type or an indefinite length")
        n = info if info < 24 else int.from_bytes(self.take(1 << info - 24), "big")
        if n > LARGEST:
            raise malformed("A number is above 2^53-1")
        return n

    def text(self):
        try:
            return self.take(self.head(3)).decode()
        except UnicodeDecodeError:
            raise malformed("A text is not UTF-8") from None

    def field(self, form):
        if form == "t":
            return self.text()
        if form == "m":
            return self.metadata()
        n = self.head(0)
        if form == "s" and n == 0:
            raise malformed("seq is 0")
        return n

    def metadata(self):
        count, metadata = self.head(5), {}
        if count > 64:
            raise Violation("resource_exhausted", "More than 64 entries of metadata")
        for _ in range(count):
            name = self.text()
            if not NAME.fullmatch(name) or name == "__proto__" or name in metadata:
                raise malformed("A metadata name is invalid or occurs twice")
            is_bytes = self.at < self.limit and self.data[self.at] >> 5 == 2
            metadata[name] = self.take(self.head(2)) if is_bytes else self.text()
        return metadata


def parse_json(data):
    """Parse JSON; ValueError if it is invalid, or exceeds the limits of the protocol."""
    def refuse(name):
        raise ValueError(f"Cannot parse JSON: {name}")

    def pairs(entries):
        return refuse("the name __proto__") if any(name == "__proto__" for name, _ in entries) else dict(entries)

    value = json.loads(data.decode(), parse_constant=refuse, object_pairs_hook=pairs)
    level, count, depth = [value], 1, 0
    while level:
        depth += any(isinstance(each, (list, dict)) for each in level)
        level = [part for each in level if isinstance(each, (list, dict))
                 for part in (each if isinstance(each, list) else each.values())]
        count += len(level)
        if depth > cbor.DEPTH or count > cbor.ITEMS:
            refuse("nested too deeply, or too many items")
    return value


def write_json(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


CODECS = {"application/cbor": (cbor.encode, cbor.decode), "application/json": (write_json, parse_json)}


def parse_line(line):
    """Parse a line of the handshake, a JSON object. Unknown fields are ignored."""
    def refuse(name):
        raise ValueError(f"Not JSON: {name}")

    try:
        fields = json.loads(line.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise RpcError("invalid_argument", "Cannot accept handshake: expected one line with a JSON object")
    return fields


def whole(fields, name, default=None, least=0):
    """A field that must be a whole number; 1e4 is valid, true is not."""
    value = fields.get(name, default)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value <= LARGEST:
        raise RpcError("invalid_argument", f"Cannot accept handshake: {name} must be a whole number from {least}")
    return value


def check_option(line):
    """Validate a client's option, in the order of the document."""
    fields = parse_line(line)
    if whole(fields, "magicNumber", 0) != MAGIC:
        raise RpcError("invalid_argument", f"Cannot accept handshake: magicNumber must be {MAGIC}")
    if whole(fields, "version", VERSION) != VERSION:
        raise RpcError("unimplemented", f"Cannot accept handshake: only version {VERSION} is supported")
    for name in ("codecType", "token"):
        if not isinstance(fields.get(name, ""), str):
            raise RpcError("invalid_argument", f"Cannot accept handshake: {name} must be a string")
    whole(fields, "connectTimeout", 10_000)
    option = {"codecType": fields.get("codecType", "application/cbor"),
              "handleTimeout": whole(fields, "handleTimeout", 0),
              "maxFrameBytes": whole(fields, "maxFrameBytes", MAX_FRAME, 256)}
    if option["codecType"] not in CODECS:
        raise RpcError("unimplemented", "Cannot accept handshake: unknown codec")
    return option


def check_response(line, codec):
    """Validate a server's response."""
    fields = parse_line(line)
    if "error" in fields:
        error = fields["error"] if isinstance(fields["error"], dict) else {}
        code, message = error.get("code"), error.get("message")
        raise RpcError(code if isinstance(code, str) and code in CODES else "unknown",
                       message if isinstance(message, str) else "Rejected", not_started=True)
    if whole(fields, "magicNumber") != MAGIC or whole(fields, "version") != VERSION or fields.get("codecType") != codec:
        raise RpcError("unavailable", "Cannot connect: the response does not match the request", not_started=True)
    return {"handleTimeout": whole(fields, "handleTimeout"), "heartbeatInterval": whole(fields, "heartbeatInterval"),
            "maxFrameBytes": whole(fields, "maxFrameBytes", least=65_536),
            "maxInFlight": whole(fields, "maxInFlight", least=16)}


async def read_line(reader, starts=b' \t\n\r{["-0123456789tfn'):
    """Read a line, without its LF; None if the stream ended before the first byte."""
    line = b""
    while not line.endswith(b"\n"):
        byte = await reader.read(1)
        if not byte:
            if line:
                raise RpcError("unavailable", "The connection ended within a line")
            return None
        line += byte
        if line[0] not in starts:
            raise RpcError("invalid_argument", "Cannot accept handshake: expected one line of JSON")
        if len(line) >= MAX_LINE and byte != b"\n":
            raise RpcError("resource_exhausted", f"Cannot accept handshake: the line is longer than {MAX_LINE} bytes")
    return line[:-1]
