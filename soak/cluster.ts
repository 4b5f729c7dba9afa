// The servers, the faulty network in front of two of them, and the fault injection. Used by main.ts.

import type { Random } from "../tests/support/cbor_random.ts";
import { Child, pause } from "./child.ts";
import type { Ledger } from "./ledger.ts";
import type { Fault } from "./proxy.ts";

/** A server, restarted as a new process after each kill. */
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

  /** Starts it, on the port that it had before. */
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

/**
 * Three servers, of which the first is never killed, and proxied routes to the first and the last over a
 * faulty network.
 */
export class Cluster {
  readonly peers: readonly Peer[];
  /** How often each fault was injected. */
  readonly faults = new Map<string, number>();
  #proxy: Child | undefined;
  #ports: readonly number[] = [];

  constructor(dir: string, ledger: Ledger) {
    this.peers = ["survivor", "second", "third"].map((name) => new Peer(name, dir, ledger));
  }

  get survivor(): Peer {
    return this.peers[0]!;
  }

  /** The addresses that clients use: two servers directly, and two through the network. */
  get addresses(): string[] {
    const direct = this.peers.slice(0, 2).map(({ address }) => address);
    return [...direct, ...this.#ports.map((port) => `tcp@127.0.0.1:${port}`)];
  }

  async start(): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer.start()));
    this.#proxy = new Child("proxy.ts", [this.peers[0]!, this.peers[2]!].map(({ port }) => String(port)));
    ({ ports: this.#ports } = await this.#proxy.started<{ ports: number[] }>());
  }

  /** Kills, suspends and terminates servers, one at a time, while `running` returns true. */
  async disruptServers(random: Random, running: () => boolean): Promise<void> {
    while (running()) {
      await pause(100 + random.below(700));
      const victim = random.pick(this.peers.slice(1));
      switch (random.below(4)) {
        case 0:
        case 1:
          this.#note("SIGKILL");
          await victim.end("SIGKILL");
          await pause(random.below(300));
          await victim.start();
          break;
        case 2:
          this.#note("SIGTERM");
          await victim.end("SIGTERM");
          await victim.start();
          break;
        default: {
          const { child } = random.pick(this.peers);
          this.#note("SIGSTOP for a while");
          child.signal("SIGSTOP");
          await pause(random.pick([50, 300, 1_500]));
          child.signal("SIGCONT");
        }
      }
    }
  }

  /** Cuts, blocks and delays connections while `running` returns true. */
  async disruptNetwork(random: Random, running: () => boolean): Promise<void> {
    while (running()) {
      await pause(50 + random.below(500));
      const route = random.below(2);
      const kind = random.pick(["cut", "hold", "delay", "refuse"] as const);
      this.#note(`network: ${kind}`);
      await this.#sendFault({ route, kind, ms: 1 + random.below(80) });
      await pause(kind === "hold" ? random.pick([50, 400, 2_500]) : random.below(400));
      await this.#sendFault({ route, kind: "none", ms: 0 });
    }
  }

  /** Kills the servers in turn, so that at least one is running, while `running` returns true. */
  async killAll(random: Random, running: () => boolean): Promise<void> {
    for (let turn = 0; running(); turn++) {
      const peer = this.peers[turn % this.peers.length]!;
      await pause(random.below(60));
      this.#note("SIGKILL");
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

  async #sendFault(fault: Fault): Promise<void> {
    await this.#proxy!.send(fault);
  }
}
