// Parses client certificates (X.509, RFC 5280, in DER). Node's own text form joins all names into one string, in which a name
// that contains a comma looks like two names. Used by tls_acceptor.ts.

import type { PeerCertificate } from "../call/handler.ts";

/** One DER element. */
interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

const Tag = {
  Octets: 4,
  Utf8: 12,
  Printable: 19,
  Ascii: 22,
  Utf16: 30,
  Version: 0xa0,
  Extensions: 0xa3,
} as const;
const ALTERNATIVE_NAMES = "2.5.29.17";
/** Attributes with short names (RFC 4514 section 3, and two other common ones). */
const ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.5", "serialNumber"],
  ["2.5.4.6", "C"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["0.9.2342.19200300.100.1.1", "UID"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.2.840.113549.1.9.1", "emailAddress"],
]);
/** The alternative names that are text, by tag. */
const TEXT_NAMES: ReadonlyMap<number, string> = new Map([[0x81, "email"], [0x82, "DNS"], [0x86, "URI"]]);
const IP_NAME = 0x87;

/**
 * Parses a certificate.
 *
 * @param der The complete certificate
 * @param fingerprint Its SHA-256
 * @throws {TypeError} If the certificate is malformed
 */
export function readCertificate(der: Uint8Array, fingerprint: string): PeerCertificate {
  const signed = first(first({ tag: 0, content: der }));
  const fields = elements(signed);
  // The optional version, serial number, algorithm, issuer and validity precede the subject.
  const subject = fields[fields[0]?.tag === Tag.Version ? 5 : 4];
  if (subject === undefined) throw malformed();
  const extensions = fields.find(({ tag }) => tag === Tag.Extensions);
  return Object.freeze({
    subject: Object.freeze(attributes(subject)),
    alternativeNames: Object.freeze(extensions === undefined ? [] : alternativeNames(extensions)),
    fingerprint,
  });
}

function attributes(name: Element): string[] {
  return elements(name).flatMap(elements).map((pair) => {
    const [type, value] = elements(pair);
    if (type === undefined || value === undefined) throw malformed();
    const oid = objectIdentifier(type.content);
    return `${ATTRIBUTES.get(oid) ?? oid}=${text(value)}`;
  });
}

function alternativeNames(extensions: Element): string[] {
  for (const extension of elements(first(extensions))) {
    const [type, ...rest] = elements(extension);
    if (type === undefined || objectIdentifier(type.content) !== ALTERNATIVE_NAMES) continue;
    const value = rest.find(({ tag }) => tag === Tag.Octets);
    if (value === undefined) throw malformed();
    return elements(first(value)).flatMap((name) => {
      const kind = TEXT_NAMES.get(name.tag);
      if (kind !== undefined) return [`${kind}:${text({ tag: Tag.Ascii, content: name.content })}`];
      return name.tag === IP_NAME ? [`IP:${address(name.content)}`] : [];
    });
  }
  return [];
}

function first(element: Element): Element {
  const [inner] = elements(element);
  if (inner === undefined) throw malformed();
  return inner;
}

/** The elements inside an element. */
function elements({ content: bytes }: Element): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at++]!;
    let length = bytes[at++]!;
    if (length > 0x80 && length < 0x85) {
      const end = at + (length & 0x7f);
      for (length = 0; at < end; at++) length = length * 256 + bytes[at]!;
    }
    // Rejects forms that DER does not allow or certificates do not use: indefinite lengths, and tags of several bytes.
    if (!(length >= 0 && at + length <= bytes.length) || (tag & 0x1f) === 0x1f) throw malformed();
    found.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function objectIdentifier(bytes: Uint8Array): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const first = Math.min(Math.floor((arcs[0] ?? 0) / 40), 2);
  return [first, (arcs[0] ?? 0) - 40 * first, ...arcs.slice(1)].join(".");
}

/** The text of an element; its bytes in hex if it is not text (RFC 4514 section 2.4). */
function text({ tag, content }: Element): string {
  const encoding = tag === Tag.Utf16 ? "utf-16be" : "utf-8";
  if (tag !== Tag.Utf16 && tag !== Tag.Utf8 && tag !== Tag.Printable && tag !== Tag.Ascii) {
    return `#${hex(content, "")}`;
  }
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    return `#${hex(content, "")}`;
  }
}

function address(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  return hex(bytes, "").match(/.{1,4}/g)?.join(":") ?? "";
}

function hex(bytes: Uint8Array, between: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(between);
}

function malformed(): TypeError {
  return new TypeError("Cannot read certificate: expected X.509 in DER");
}
