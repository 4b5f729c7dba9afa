// Dials over the sockets of the runtime: Deno's own, or Node's in Node and Bun. Used by clients outside of browsers.

import { type Dialer, dialWeb } from "./dialer.ts";
import { dialNodeTcp, dialNodeUnix } from "./node_dial.ts";
import { hasNodeModules } from "./runtime.ts";
import { dialTcp, dialUnix } from "./tcp.ts";
import { dialTls } from "./tls.ts";
import { dialShowing } from "./tls_dial.ts";
import { dialWebSocketConn } from "./websocket_dial.ts";

/** Dials every address in Deno, Node and Bun; in other runtimes those of WebSockets. */
export const dialSockets: Dialer = (address, terms, signal) => {
  if (typeof Deno !== "undefined") return dialDeno(address, terms, signal);
  return hasNodeModules() ? dialNode(address, terms, signal) : dialWeb(address, terms, signal);
};

const dialDeno: Dialer = (address, { tls, maxHeld }, signal) => {
  switch (address.transport) {
    case "tcp":
    case "http":
      return dialTcp(address, signal);
    case "tls":
      return tls.cert === undefined ? dialTls(address, tls, signal) : dialShowing(address, tls, signal);
    case "unix":
      return dialUnix(address, signal);
    case "ws":
    case "wss":
      return dialWebSocketConn(address, tls, maxHeld, signal);
  }
};

const dialNode: Dialer = (address, terms, signal) => {
  switch (address.transport) {
    case "tcp":
    case "http":
      return dialNodeTcp(address, signal);
    case "tls":
      return dialShowing(address, terms.tls, signal);
    case "unix":
      return dialNodeUnix(address, signal);
    default:
      return dialWeb(address, terms, signal);
  }
};
