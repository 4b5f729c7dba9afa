// The headers of the PROXY protocol, whole, in pieces and invalid.

import { assertEquals, assertThrows } from "@std/assert";
import { parseProxyHeader } from "../../transport/proxy_header.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

const text = (line: string) => new TextEncoder().encode(line);

function v2(command: number, family: number, body: number[], length = body.length): Uint8Array {
  return new Uint8Array([...SIGNATURE, command, family, length >> 8, length & 255, ...body]);
}

const V4 = [10, 1, 2, 3, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
const V6 = [0x20, 0x01, 0xd, 0xb8, ...Array(11).fill(0), 7, ...Array(16).fill(1), 0x1f, 0x90, 0, 80];
const MAPPED = [...Array(10).fill(0), 255, 255, 10, 1, 2, 3, ...Array(16).fill(1), 0x1f, 0x90, 0, 80];

const VALID: [string, Uint8Array, { hostname: string; port: number } | undefined][] = [
  ["v1 TCP4", text("PROXY TCP4 10.1.2.3 10.0.0.1 8080 80\r\n"), { hostname: "10.1.2.3", port: 8080 }],
  ["v1 TCP6", text("PROXY TCP6 2001:DB8::7 ::1 8080 80\r\n"), { hostname: "2001:db8::7", port: 8080 }],
  ["v1 UNKNOWN", text("PROXY UNKNOWN\r\n"), undefined],
  ["v1 UNKNOWN with addresses", text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), undefined],
  ["v2 TCP4", v2(0x21, 0x11, V4), { hostname: "10.1.2.3", port: 8080 }],
  ["v2 TCP4 with TLVs", v2(0x21, 0x11, [...V4, 4, 0, 2, 1, 2]), { hostname: "10.1.2.3", port: 8080 }],
  ["v2 TCP6", v2(0x21, 0x21, V6), { hostname: "2001:db8::7", port: 8080 }],
  ["v2 TCP6 of an IPv4 client", v2(0x21, 0x21, MAPPED), { hostname: "10.1.2.3", port: 8080 }],
  ["v2 LOCAL", v2(0x20, 0x00, []), undefined],
  ["v2 LOCAL with addresses", v2(0x20, 0x11, V4), undefined],
  ["v2 Unix", v2(0x21, 0x31, Array(216).fill(47)), undefined],
  ["v2 unspecified", v2(0x21, 0x00, []), undefined],
];

for (const [name, header, source] of VALID) {
  Deno.test(`PROXY protocol: ${name} is read, whatever follows it and wherever it is cut`, () => {
    const followed = new Uint8Array([...header, 123, 34, 13, 10]);
    assertEquals(parseProxyHeader(followed), { length: header.length, source });
    for (let length = 0; length < header.length; length++) {
      assertEquals(parseProxyHeader(header.subarray(0, length)), undefined, `${length} bytes`);
    }
  });
}

const INVALID: [string, Uint8Array, string][] = [
  ["no header", text("{"), "missing"],
  ["TLS", new Uint8Array([22, 3, 1]), "missing"],
  ["a signature that ends differently", new Uint8Array([...SIGNATURE.slice(0, 11), 0x0b]), "missing"],
  ["a lone LF", text("PROXY TCP4 10.1.2.3 10.0.0.1 1 2\n"), "CR LF"],
  ["a lone CR", text("PROXY TCP4 10.1.2.3 10.0.0.1 1 2\rx"), "CR LF"],
  ["no end", text(`PROXY UNKNOWN ${"x".repeat(100)}`), "no end within 107 bytes"],
  ["another protocol", text("PROXY UDP4 10.1.2.3 10.0.0.1 1 2\r\n"), "addresses"],
  ["an address that is none", text("PROXY TCP4 10.1.2.300 10.0.0.1 1 2\r\n"), "addresses"],
  ["an address of the other family", text("PROXY TCP6 10.1.2.3 10.0.0.1 1 2\r\n"), "addresses"],
  ["a port that is none", text("PROXY TCP4 10.1.2.3 10.0.0.1 65536 2\r\n"), "addresses"],
  ["version 3", v2(0x31, 0x11, V4), "version or command"],
  ["an unknown command", v2(0x22, 0x11, V4), "version or command"],
  ["addresses that are cut off", v2(0x21, 0x11, V4.slice(0, 11)), "too short"],
  ["IPv6 addresses that are cut off", v2(0x21, 0x21, V4), "too short"],
  ["a length above the limit", v2(0x21, 0x11, V4, 4_081), "longer than 4096 bytes"],
];

for (const [name, bytes, message] of INVALID) {
  Deno.test(`PROXY protocol: ${name} is refused`, () => {
    assertThrows(() => parseProxyHeader(bytes), SyntaxError, message);
  });
}
