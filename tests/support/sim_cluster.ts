// Servers that call one another and announce themselves to a registry, and clients that find them, on a simulated
// network: what chaos is let loose on.

import {
  announce,
  type CallContext,
  type Client,
  connect,
  type Discovery,
  MultiServers,
  Registry,
  RegistryDiscovery,
  Server,
} from "../../mod.ts";
import type { Simulation } from "../../testing/mod.ts";

export const SERVERS = ["one", "two", "three"] as const;
/** Ada has a list of the servers, Bob asks the registry. */
export const CLIENTS = ["ada", "bob"] as const;
const HUB = "hub";
const REGISTRY = `http://${HUB}:9999`;
export const HOSTS: readonly string[] = [...SERVERS, ...CLIENTS, HUB];
const addressOf = (host: string) => `tcp@${host}:9000`;

/** The arguments of `work` and `relay`. */
export interface Work {
  readonly id: number;
  /** How long it takes. */
  readonly ms: number;
  readonly text: string;
  /** Of the call that `relay` makes in turn. */
  readonly idempotent: boolean;
}

/** One server, what it calls others with, and its place on the registry's list. */
interface Member {
  readonly server: Server;
  readonly client: Client;
  /** Ends its registration, or the attempt at it. */
  readonly leave: () => Promise<void>;
}

/** Everything that runs. */
export class Cluster {
  readonly clients: Client[] = [];
  readonly #sim: Simulation;
  readonly #executed: (id: number) => void;
  readonly #members = new Map<string, Member>();
  readonly #registry = new Registry();
  #hub: Disposable | undefined;

  /** @param executed Called for each call of `work` that is executed */
  constructor(sim: Simulation, executed: (id: number) => void) {
    this.#sim = sim;
    this.#executed = executed;
  }

  get servers(): [host: string, server: Server][] {
    return [...this.#members].map(([host, { server }]) => [host, server]);
  }

  async start(): Promise<void> {
    const { network } = this.#sim;
    for (const host of HOSTS) network.host(host);
    this.#hub = network.host(HUB).serve(9999, this.#registry.fetch);
    for (const host of SERVERS) await this.#start(host);
    for (const host of CLIENTS) {
      const discovery = host === "bob"
        ? new RegistryDiscovery(REGISTRY, { fetch: network.host(host).fetch, refreshInterval: 5_000 })
        : list();
      this.clients.push(await this.#connect(host, discovery));
    }
  }

  /** A server ends, in good order or at once, and another takes its place. */
  async restart(host: string, grace: number): Promise<void> {
    this.#sim.network.note(`${host} restarts, with a grace of ${grace} ms`);
    await this.#stop(host, grace);
    await this.#start(host);
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
    await Promise.all(SERVERS.map((host) => this.#stop(host, 10_000)));
    this.#hub?.[Symbol.dispose]();
    await this.#registry.close();
  }

  async #stop(host: string, grace: number): Promise<void> {
    const { server, client, leave } = this.#members.get(host)!;
    await Promise.all([leave(), grace > 0 ? server.shutdown({ grace }) : server.close()]);
    await client.close();
  }

  async #start(host: string): Promise<void> {
    const client = await this.#connect(host, list());
    const network = this.#sim.network.host(host);
    const server = new Server({ network, maxInFlight: 16, maxUnsentBytes: 100_000 });
    server.register("S", this.#methods(client));
    const { address } = await server.listen(addressOf(host));
    const stop = new AbortController();
    const announced = announce(REGISTRY, { address }, { fetch: network.fetch, signal: stop.signal });
    const leave = async () => {
      stop.abort();
      await (await announced.catch(() => undefined))?.close();
    };
    this.#members.set(host, { server, client, leave });
  }

  #connect(host: string, discovery: Discovery): Promise<Client> {
    const { network, random } = this.#sim;
    return connect(discovery, {
      network: network.host(host),
      codecType: random() < 0.5 ? "application/cbor" : "application/json",
      heartbeatInterval: 5_000 + Math.floor(random() * 25_000),
      maxUnsentBytes: 100_000,
      services: { Back: { twice: (n: number) => 2 * n } },
    });
  }

  #methods(client: Client) {
    const { sleep } = this.#sim;
    return {
      work: async ({ id, ms, text }: Work) => {
        this.#executed(id);
        if (ms > 0) await sleep(ms);
        return { id, text };
      },
      relay: (work: Work) => client.call("S.work", work, { idempotent: work.idempotent }),
      count: async function* ({ id, to, ms }: { id: number; to: number; ms: number }) {
        for (let n = 0; n < to; n++) {
          if (ms > 0) await sleep(ms);
          yield [id, n];
        }
      },
      sum: async (ns: AsyncIterable<number>) => {
        let sum = 0;
        for await (const n of ns) sum += n;
        return sum;
      },
      echo: async function* (ns: AsyncIterable<number>) {
        for await (const n of ns) yield n;
      },
      back: async (n: number, { peer }: CallContext) => {
        await sleep(n % 500);
        return await peer.call("Back.twice", n);
      },
    };
  }
}

function list(): MultiServers {
  return new MultiServers(SERVERS.map(addressOf));
}
