// Dials over the sockets of the runtime: Deno's own, or Node's in Node and Bun. Used by clients outside of browsers. What only some
// transports need is loaded by the first address of one.

import { type Dialer, dialWeb } from "./dialer.ts";
import { hasNodeModules } from "./runtime.ts";
import { dialTcp, dialUnix } from "./tcp.ts";

/** Dials every address in Deno, Node and Bun; in other runtimes those of WebSockets. */
export const dialSockets: Dialer = (address, terms, signal) => {
  if (typeof Deno !== "undefined") return dialDeno(address, terms, signal);
  return hasNodeModules() ? dialNode(address, terms, signal) : dialWeb(address, terms, signal);
};

const dialDeno: Dialer = async (address, { tls, maxHeld }, signal) => {
  switch (address.transport) {
    case "tcp":
    case "http":
      return dialTcp(address, signal);
    case "tls":
      if (tls.cert !== undefined) return (await import("./tls_dial.ts")).dialShowing(address, tls, signal);
      return (await import("./tls.ts")).dialTls(address, tls, signal);
    case "unix":
      return dialUnix(address, signal);
    case "ws":
    case "wss": {
      const { dialWebSocketConn } = await import("./websocket_dial.ts");
      return dialWebSocketConn(address, tls, maxHeld, signal);
    }
  }
};

const dialNode: Dialer = async (address, terms, signal) => {
  switch (address.transport) {
    case "tcp":
    case "http":
      return (await import("./node_dial.ts")).dialNodeTcp(address, signal);
    case "tls":
      return (await import("./tls_dial.ts")).dialShowing(address, terms.tls, signal);
    case "unix":
      return (await import("./node_dial.ts")).dialNodeUnix(address, signal);
    default:
      return dialWeb(address, terms, signal);
  }
};
