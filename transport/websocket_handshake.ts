// The HTTP half of a WebSocket (RFC 6455 section 4), pure: what a server answers to a request for one, and what each side
// proves by its key. Used by http.ts, which does the I/O.

const encoder = new TextEncoder();
/** What is appended to a key (RFC 6455 section 1.3). */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** What proves that a server has understood a key. */
export async function acceptOf(key: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-1", encoder.encode(key + GUID)));
  return btoa(String.fromCharCode(...hash));
}

/** Whether a request asks for a WebSocket. */
export function asksForWebSocket({ method, headers }: { method: string; headers: Headers }): boolean {
  return method === "GET" && headers.get("upgrade")?.toLowerCase() === "websocket";
}

/**
 * What a server answers to a request for a WebSocket.
 *
 * @returns The head that switches protocols; or the answer that says why there is none
 */
export async function webSocketAnswer(headers: Headers): Promise<Uint8Array<ArrayBuffer> | Response> {
  const connection = headers.get("connection")?.toLowerCase().split(/[\s,]+/) ?? [];
  if (headers.get("sec-websocket-version") !== "13") {
    return new Response("Only version 13 of the WebSocket protocol is spoken here\n", {
      status: 426,
      headers: { upgrade: "websocket", "sec-websocket-version": "13" },
    });
  }
  const key = headers.get("sec-websocket-key") ?? "";
  if (!connection.includes("upgrade") || !KEY.test(key)) {
    return new Response("Connection: Upgrade or a valid Sec-WebSocket-Key is missing\n", { status: 400 });
  }
  return encoder.encode(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      `Sec-WebSocket-Accept: ${await acceptOf(key)}\r\n\r\n`,
  );
}
