// The servers, the bad network in front of two of them, and all that befalls them.

import type { Random } from "../tests/support/cbor_random.ts";
import { Child, pause } from "./child.ts";
import type { Ledger } from "./ledger.ts";
import type { Fault } from "./proxy.ts";

/** One server, whichever process it is at the moment. */
export class Peer {
  readonly #dir: string;
  readonly #ledger: Ledger;
  readonly #name: string;
  #child: Child | undefined;
  #incarnation = 0;
  #file = "";
  #port = 0;

  constructor(name: string, dir: string, ledger: Ledger) {
    this.#name = name;
    this.#dir = dir;
    this.#ledger = ledger;
  }

  get address(): string {
    return `tcp@127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get child(): Child {
    return this.#child!;
  }

  /** Starts it, at the port that it had before. */
  async start(): Promise<void> {
    this.#file = `${this.#dir}/${this.#name}-${this.#incarnation++}`;
    this.#ledger.follow(this.#file);
    this.#child = new Child("server.ts", [this.#file, String(this.#port)]);
    const { address } = await this.#child.started<{ address: string }>();
    this.#port = Number(address.slice(address.lastIndexOf(":") + 1));
  }

  async end(signal: Deno.Signal): Promise<void> {
    await this.#child!.end(signal);
    this.#ledger.finish(this.#file);
    await Deno.remove(this.#file);
  }
}

/** Three servers, of which the first is never killed, and ways to the first and the last through a bad network. */
export class Cluster {
  readonly peers: readonly Peer[];
  /** How often each fault has been. */
  readonly faults = new Map<string, number>();
  #proxy: Child | undefined;
  #ports: readonly number[] = [];

  constructor(dir: string, ledger: Ledger) {
    this.peers = ["survivor", "second", "third"].map((name) => new Peer(name, dir, ledger));
  }

  get survivor(): Peer {
    return this.peers[0]!;
  }

  /** Where clients call: two servers as they are, and two ways through the network. */
  get addresses(): string[] {
    const direct = this.peers.slice(0, 2).map(({ address }) => address);
    return [...direct, ...this.#ports.map((port) => `tcp@127.0.0.1:${port}`)];
  }

  async start(): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer.start()));
    this.#proxy = new Child("proxy.ts", [this.peers[0]!, this.peers[2]!].map(({ port }) => String(port)));
    ({ ports: this.#ports } = await this.#proxy.started<{ ports: number[] }>());
  }

  /** Kills, stops and ends servers, one at a time, while `goesOn`. */
  async hurtServers(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await pause(100 + random.below(700));
      const mortal = random.pick(this.peers.slice(1));
      switch (random.below(4)) {
        case 0:
        case 1:
          this.#note("killed with SIGKILL");
          await mortal.end("SIGKILL");
          await pause(random.below(300));
          await mortal.start();
          break;
        case 2:
          this.#note("ended with SIGTERM");
          await mortal.end("SIGTERM");
          await mortal.start();
          break;
        default: {
          const { child } = random.pick(this.peers);
          this.#note("stopped for a while");
          child.signal("SIGSTOP");
          await pause(random.pick([50, 300, 1_500]));
          child.signal("SIGCONT");
        }
      }
    }
  }

  /** Cuts, holds up and delays connections while `goesOn`. */
  async hurtNetwork(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await pause(50 + random.below(500));
      const way = random.below(2);
      const kind = random.pick(["cut", "hold", "delay", "refuse"] as const);
      this.#note(`network: ${kind}`);
      await this.#say({ way, kind, ms: 1 + random.below(80) });
      await pause(kind === "hold" ? random.pick([50, 400, 2_500]) : random.below(400));
      await this.#say({ way, kind: "none", ms: 0 });
    }
  }

  /** Kills every server in turn, so that one at least is there, while `goesOn`. */
  async killAll(random: Random, goesOn: () => boolean): Promise<void> {
    for (let turn = 0; goesOn(); turn++) {
      const peer = this.peers[turn % this.peers.length]!;
      await pause(random.below(60));
      this.#note("killed with SIGKILL");
      await peer.end("SIGKILL");
      await peer.start();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#proxy!, ...this.peers].map((each) => each.end("SIGKILL")));
  }

  #note(fault: string): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  async #say(fault: Fault): Promise<void> {
    await this.#proxy!.say(fault);
  }
}
