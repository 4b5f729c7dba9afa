// What people take for one another when they connect (TLS and plain TCP, HTTP and RPC), told by its first bytes, and what
// to do about it. Used by handshakes, by http.ts and by dial.ts for their messages.

const HTTP = /^(?:HTTP\/|(?:CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PRI|PUT) )/;

/** Whether an answer may begin with this byte: a TLS record has no end that it would be waited for. */
export function mayStartAnswer(byte: number): boolean {
  return !isTlsRecord(byte);
}

/** What the bytes are that came instead of what was expected: ", got TLS", ", got HTTP", or nothing if that is unclear. */
export function gotInstead(bytes: Uint8Array): string {
  if (isTlsRecord(bytes[0])) return ", got TLS";
  return HTTP.test(new TextDecoder("latin1").decode(bytes.subarray(0, 16))) ? ", got HTTP" : "";
}

/** Errors of connecting, and what most likely helps. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/, got TLS$/, "a server with TLS has an address with tls@ or wss@"],
  [/, got HTTP$/, "RPC on an HTTP port has an address with http@ or ws@"],
  [/got "\{/, "RPC without HTTP has an address with tcp@ or tls@"],
  [/expected "101 .* got "HTTP\/\d.\d (?!503)/, "hand requests for /_rpc_ on to server.fetch"],
  [/got "HTTP\/1\.[01] (?!503)\d/, "what Deno.serve answers has an address with ws@"],
  [/InvalidContentType/, "without TLS the address begins with tcp@ or ws@"],
  [/NoApplicationProtocol/, "over TLS, RPC has an address with tls@, and HTTPS one with wss@"],
  [
    /CaUsedAsEndEntity/,
    "the server's certificate says that it is an authority's; make it with basicConstraints=CA:FALSE",
  ],
  // The second as Node's sockets say it.
  [
    /UnknownIssuer|unable to get local issuer certificate|self-signed certificate/,
    "trust whoever signed the certificate by the option tls.caCerts",
  ],
  [/CertificateRequired/, "show the server a certificate by the options tls.cert and tls.key"],
];

/** An error's message with what to do about it, if anybody knows. */
export function advised(message: string): string {
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(message)) ?? [];
  return advice === undefined ? message : `${message}; ${advice}`;
}

/** Whether a record of TLS begins with this byte, one that begins a handshake or refuses it (RFC 8446 section 5.1). */
function isTlsRecord(byte: number | undefined): boolean {
  return byte === 0x15 || byte === 0x16;
}
