// This library over WebSockets, both sides.

import type { PeerClient } from "../peer.ts";
import type { Load } from "../workloads.ts";
import * as tcp from "./troodon.ts";

export { variants } from "./troodon.ts";

export function serve(load: Load): Promise<number> {
  return tcp.serve(load, "http");
}

export function connect(port: number, load: Load): Promise<PeerClient> {
  return tcp.connect(port, load, "ws");
}
