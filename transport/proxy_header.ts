// The header by which a proxy says for whom it connects: PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt). Read by servers from the sources that they name.

import { gotInstead } from "./wrong_protocol.ts";

/** The longest header of version 1, in bytes, with its CR LF. */
const MAX_V1_BYTES = 107;
/** The longest header of version 2 that is accepted, in bytes: addresses and some TLVs. */
const MAX_V2_BYTES = 4_096;
const V1_START = new TextEncoder().encode("PROXY ");
const V2_START = new Uint8Array([0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Version, command, address family and length follow the signature of version 2. */
const V2_HEAD_BYTES = 16;

/** The client that a proxy speaks for. */
export interface ProxySource {
  /** Its IP address, IPv6 without brackets. */
  readonly hostname: string;
  /** Its port. */
  readonly port: number;
}

/** A header that has arrived as a whole. */
export interface ProxyHeader {
  /** Its length in bytes. */
  readonly length: number;
  /** The client; undefined if the proxy connects for itself, such as for a health check, or does not know. */
  readonly source: ProxySource | undefined;
}

/**
 * Parses the header at the front of `bytes`.
 *
 * @param bytes What has arrived so far
 * @returns The header; undefined if more bytes are needed
 * @throws {SyntaxError} If the bytes are no valid header
 */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | undefined {
  if (beginsLike(bytes, V2_START)) return bytes.length < V2_HEAD_BYTES ? undefined : parseV2(bytes);
  if (beginsLike(bytes, V1_START)) return parseV1(bytes);
  throw invalid(`it is missing${gotInstead(bytes)}`);
}

function parseV1(bytes: Uint8Array): ProxyHeader | undefined {
  const line = new TextDecoder("latin1").decode(bytes.subarray(0, MAX_V1_BYTES));
  const end = line.search(/[\r\n]/);
  if (end < 0 || end === line.length - 1 && line[end] === "\r") {
    if (bytes.length < MAX_V1_BYTES) return undefined;
    throw invalid(`version 1 has no end within ${MAX_V1_BYTES} bytes`);
  }
  if (line.slice(end, end + 2) !== "\r\n") throw invalid("version 1 does not end with CR LF");
  const length = end + 2;
  const text = line.slice(0, end);
  if (/^PROXY UNKNOWN(?: |$)/.test(text)) return { length, source: undefined };
  const [, family, hostname = "", port = ""] =
    /^PROXY (TCP[46]) ([0-9A-Fa-f.:]+) [0-9A-Fa-f.:]+ (\d{1,5}) \d{1,5}$/.exec(text) ?? [];
  if (family === undefined || (family === "TCP6") !== hostname.includes(":") || !isIp(hostname)) {
    throw invalid("version 1 has no valid addresses");
  }
  return { length, source: sourceOf(hostname, Number(port)) };
}

function parseV2(bytes: Uint8Array): ProxyHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const command = bytes[12]!;
  if (command !== 0x20 && command !== 0x21) throw invalid("version 2 has an unknown version or command");
  const length = V2_HEAD_BYTES + view.getUint16(14);
  if (length > MAX_V2_BYTES) throw invalid(`version 2 is longer than ${MAX_V2_BYTES} bytes`);
  if (bytes.length < length) return undefined;
  // LOCAL: the proxy itself, whose addresses are to be skipped.
  if (command === 0x20) return { length, source: undefined };
  switch (bytes[13]) {
    case 0x11: {
      if (length < V2_HEAD_BYTES + 12) throw invalid("version 2 is too short for its addresses");
      return { length, source: sourceOf(bytes.subarray(16, 20).join("."), view.getUint16(24)) };
    }
    case 0x21: {
      if (length < V2_HEAD_BYTES + 36) throw invalid("version 2 is too short for its addresses");
      const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(16 + 2 * i).toString(16));
      return { length, source: sourceOf(groups.join(":"), view.getUint16(48)) };
    }
    default:
      // Unspecified, datagrams and Unix sockets name no client that a TCP server could show.
      return { length, source: undefined };
  }
}

/** Whether the bytes that have arrived are the first of `start`, or begin with it. */
function beginsLike(bytes: Uint8Array, start: Uint8Array): boolean {
  const count = Math.min(bytes.length, start.length);
  for (let i = 0; i < count; i++) if (bytes[i] !== start[i]) return false;
  return true;
}

function sourceOf(hostname: string, port: number): ProxySource {
  if (port > 65_535) throw invalid("version 1 has no valid addresses");
  if (!hostname.includes(":")) return { hostname, port };
  const canonical = new URL(`http://[${hostname}]`).hostname.slice(1, -1);
  // An IPv4 client of a proxy that listens for both families.
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical);
  if (mapped === null) return { hostname: canonical, port };
  const bits = [parseInt(mapped[1]!, 16), parseInt(mapped[2]!, 16)];
  return { hostname: bits.flatMap((pair) => [pair >> 8, pair & 255]).join("."), port };
}

function isIp(hostname: string): boolean {
  if (hostname.includes(":")) return URL.canParse(`http://[${hostname}]`);
  return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(hostname) &&
    hostname.split(".").every((part) => Number(part) < 256);
}

function invalid(why: string): SyntaxError {
  return new SyntaxError(`Cannot read the PROXY protocol header: ${why}`);
}
