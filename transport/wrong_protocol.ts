// Detects by its first bytes that a peer speaks another protocol (TLS and plain TCP, HTTP and RPC are often confused), and advises
// what to do. Used in messages of handshakes, http.ts and dial.ts.

const HTTP = /^(?:HTTP\/|(?:CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PRI|PUT) )/;

/** Whether an answer may begin with this byte: not with a TLS record, which has no line end to wait for. */
export function mayStartAnswer(byte: number): boolean {
  return !isTlsRecord(byte);
}

/** The header of the PROXY protocol, version 1 or 2. */
const PROXY = /^(?:PROXY (?:TCP|UNKNOWN)|\r\n\r\n\0\r\nQUIT\n)/;

/** The detected protocol of unexpected bytes, such as ", got TLS" or ", got HTTP", or an empty string. */
export function gotInstead(bytes: Uint8Array): string {
  if (isTlsRecord(bytes[0])) return ", got TLS";
  if (isProxyHeader(bytes)) return ", got a header of the PROXY protocol (proxyProtocol)";
  return HTTP.test(textAt(bytes)) ? ", got HTTP" : "";
}

/** Whether bytes begin with the header of the PROXY protocol. */
export function isProxyHeader(bytes: Uint8Array): boolean {
  return PROXY.test(textAt(bytes));
}

function textAt(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes.subarray(0, 16));
}

/** Connection errors, and what most likely helps. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/, got TLS$/, "the server uses TLS; use an address with tls@ or wss@"],
  [
    /, got HTTP$/,
    "for RPC on an HTTP port use an address with http@, or ws@ behind Deno.serve or an HTTP proxy",
  ],
  [/got RPC without HTTP/, "use an address with tcp@ or tls@"],
  [
    /"101 .* 501 /,
    "in Node and Bun, server.fetch opens no WebSockets: dial a port on which the server listens with http@",
  ],
  [/got "HTTP\/\d.\d 50[24]/, "an HTTP proxy answers, which cannot reach the server"],
  [
    /got "HTTP\/\d.\d 503/,
    "the server is full or shutting down, or an HTTP proxy that has no server answers",
  ],
  [/expected "101 .* got "HTTP\/\d.\d (?!503)/, "pass requests for /_rpc_ on to server.fetch"],
  [/got "HTTP\/1\.[01] (?!503)\d/, "for a server behind Deno.serve or an HTTP proxy use an address with ws@"],
  [
    /InvalidContentType|wrong version number|packet length too long/,
    "the server does not use TLS; use an address with tcp@ or ws@",
  ],
  [
    /NoApplicationProtocol|alert no application protocol/,
    "for RPC over TLS use an address with tls@, for HTTPS one with wss@",
  ],
  [
    /CaUsedAsEndEntity/,
    "the server's certificate is that of an authority; create it with basicConstraints=CA:FALSE",
  ],
  // The second and third as Node's sockets report them.
  [
    /UnknownIssuer|unable to get local issuer certificate|self-signed certificate|unable to verify the first certificate/,
    "trust the authority of the certificate with the option tls.caCerts",
  ],
  [
    /CertificateRequired|alert certificate required/,
    "the server requires a client certificate: set the options tls.cert and tls.key",
  ],
];

/** An error's message, with advice if there is any. */
export function advised(message: string): string {
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(message)) ?? [];
  return advice === undefined ? message : `${message}; ${advice}`;
}

/** Whether a record of TLS begins with this byte, one that begins a handshake or refuses it (RFC 8446 section 5.1). */
export function isTlsRecord(byte: number | undefined): boolean {
  return byte === 0x15 || byte === 0x16;
}
