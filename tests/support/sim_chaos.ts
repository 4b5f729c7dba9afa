// Ten minutes of everything going wrong, in simulated time: servers and clients under random faults, and what must
// hold all the same.

import { assert, assertEquals } from "@std/assert";
import { type Client, RpcError } from "../../mod.ts";
import type { Simulation } from "../../testing/mod.ts";
import { Cluster, HOSTS, SERVERS } from "./sim_cluster.ts";

/** How many calls each client has under way. */
const CALLERS = 4;
/** What a call under faults may end with. */
const EXPECTED: ReadonlySet<string> = new Set([
  "unavailable",
  "deadline_exceeded",
  "canceled",
  "resource_exhausted",
]);
/** The longest that anything may take after the last fault: connect and heartbeat time-outs, and a backoff. */
export const RECOVERY = 60_000;

/**
 * What goes wrong. `harsh`: everything, and calls may fail as long as they say so rightly. `mild`: the network is slow
 * and servers are replaced in good order, and no call may fail.
 */
export type Weather = "harsh" | "mild";

/** What is known of one call. */
interface Record {
  readonly idempotent: boolean;
  executions: number;
  /** Undefined until it is settled. */
  outcome: "ok" | "failed" | "not started" | undefined;
}

/** What came of a run. */
export interface Counts {
  calls: number;
  ok: number;
  failed: number;
  faults: number;
}

/** Servers and clients on a bad network. */
export class Chaos {
  readonly #sim: Simulation;
  readonly #weather: Weather;
  readonly #cluster: Cluster;
  readonly #calls: Record[] = [];
  #over = false;
  #faults = 0;

  constructor(sim: Simulation, weather: Weather) {
    this.#sim = sim;
    this.#weather = weather;
    this.#cluster = new Cluster(sim, (id) => this.#calls[id]!.executions++);
  }

  /** Lets faults happen for `duration` ms, then checks that everything comes right again. */
  async run(duration: number): Promise<Counts> {
    const { sleep, time } = this.#sim;
    await this.#cluster.start();
    const { clients } = this.#cluster;
    const callers = clients.flatMap((client) =>
      Array.from({ length: CALLERS }, () => this.#keepCalling(client))
    );
    const end = time.now + duration;
    while (time.now < end) {
      await sleep(this.#below(4_000));
      await this.#fault();
    }
    this.#over = true;
    await Promise.all(callers);
    await this.#recover(clients);
    await this.#cluster.stop();
    // What was sent and no longer waited for arrives meanwhile.
    await sleep(RECOVERY);
    this.#check();
    const count = (outcome: Record["outcome"]) =>
      this.#calls.filter((call) => call.outcome === outcome).length;
    const ok = count("ok");
    return { calls: this.#calls.length, ok, failed: this.#calls.length - ok, faults: this.#faults };
  }

  async #keepCalling(client: Client): Promise<void> {
    while (!this.#over) {
      await this.#sim.sleep(this.#below(2_000));
      const dice = this.#below(10);
      if (dice < 6) await this.#call(client);
      else if (dice < 8) await this.#download(client);
      else if (dice < 9) await this.#upload(client);
      else await this.#callBack(client);
    }
  }

  async #call(client: Client): Promise<void> {
    const { time } = this.#sim;
    const idempotent = this.#chance(0.5);
    const id = this.#calls.length;
    const call: Record = { idempotent, executions: 0, outcome: undefined };
    this.#calls.push(call);
    const text = "x".repeat(this.#chance(0.1) ? this.#below(50_000) : this.#below(100));
    const ms = this.#chance(0.5) ? 0 : this.#below(500);
    const timeout = this.#timeout();
    const stop = new AbortController();
    const abort = this.#weather === "harsh" && this.#chance(0.1)
      ? setTimeout(() => stop.abort(), this.#below(500))
      : undefined;
    const began = time.now;
    try {
      const options = { timeout, idempotent, signal: abort === undefined ? undefined : stop.signal };
      const method = this.#chance(0.3) ? "S.relay" : "S.work";
      const reply = await client.call(method, { id, ms, text, idempotent }, options);
      assertEquals(reply, { id, text }, `call ${id} got the wrong answer`);
      assertEquals(call.outcome, undefined, `call ${id} was settled twice`);
      call.outcome = "ok";
    } catch (error) {
      this.#failed(call, id, error);
    }
    clearTimeout(abort);
    assert(time.now - began <= timeout, `call ${id} took ${time.now - began} ms, and had ${timeout}`);
  }

  #failed(call: Record, id: number, error: unknown): void {
    const { code, message, notStarted } = this.#expected(`call ${id}`, error);
    assertEquals(call.outcome, undefined, `call ${id} was settled twice`);
    call.outcome = notStarted ? "not started" : "failed";
    this.#sim.network.note(`call ${id}: ${code}: ${message}`);
  }

  /**
   * Takes an error for what it is, if there may be one.
   *
   * @param takesItems Whether the call takes its arguments from a stream: once the first items have left, it cannot be
   * started again elsewhere, so a server that went away just then is an error, but one that says `notStarted`
   */
  #expected(what: string, error: unknown, takesItems = false): RpcError {
    if (!(error instanceof RpcError)) throw error;
    const passedBy = takesItems && error.code === "unavailable" && error.notStarted;
    const allowed = passedBy || this.#weather === "harsh" && EXPECTED.has(error.code);
    assert(allowed, `${what}: ${error.code}: ${error.message}`);
    return error;
  }

  #timeout(): number {
    return this.#weather === "harsh" ? 200 + this.#below(5_000) : 60_000;
  }

  /** Does something that may fail, but not late. */
  async #inTime(what: string, act: (timeout: number) => Promise<void>, takesItems = false): Promise<void> {
    const { time } = this.#sim;
    const timeout = this.#timeout();
    const began = time.now;
    try {
      await act(timeout);
    } catch (error) {
      this.#expected(what, error, takesItems);
    }
    assert(time.now - began <= timeout, `${what} took ${time.now - began} ms, and had ${timeout}`);
  }

  /** Items come in order and without gaps, whatever ends the stream. */
  #download(client: Client): Promise<void> {
    const args = { id: this.#below(1_000_000), to: this.#below(200), ms: this.#below(20) };
    const leaveAt = this.#chance(0.2) ? this.#below(50) : Infinity;
    return this.#inTime("a download", async (timeout) => {
      let next = 0;
      for await (const item of client.stream("S.count", args, { timeout })) {
        const [id, n] = item as [number, number];
        if (id !== args.id || n !== next++) {
          throw new Error(`A download got item ${n} of ${id} for ${next - 1}`);
        }
        if (next > leaveAt) return;
      }
      assertEquals(next, args.to, "a stream ended early without an error");
    });
  }

  /** What the handler of a stream gets is all of it, or an error. */
  #upload(client: Client): Promise<void> {
    const to = this.#below(300);
    const ms = this.#below(20);
    const { sleep } = this.#sim;
    const source = async function* () {
      for (let n = 0; n < to; n++) {
        if (ms > 0) await sleep(ms);
        yield n;
      }
    };
    return this.#inTime("an upload", async (timeout) => {
      if (this.#chance(0.5)) {
        assertEquals(await client.call("S.sum", source(), { timeout }), to * (to - 1) / 2);
        return;
      }
      let next = 0;
      for await (const n of client.stream("S.echo", source(), { timeout })) {
        if (n !== next++) throw new Error(`A conversation got ${n} for ${next - 1}`);
      }
      assertEquals(next, to, "a conversation ended early without an error");
    }, true);
  }

  #callBack(client: Client): Promise<void> {
    const n = this.#below(1_000_000);
    return this.#inTime("a call with a call back", async (timeout) => {
      assertEquals(await client.call("S.back", n, { timeout }), 2 * n);
    });
  }

  /** Something goes wrong, or right again. */
  async #fault(): Promise<void> {
    const { network } = this.#sim;
    const [a, b] = this.#two();
    this.#faults++;
    const harsh = this.#weather === "harsh";
    const bandwidth = (harsh ? 2_000 : 100_000) + this.#below(100_000);
    switch (this.#below(harsh ? 9 : 3)) {
      case 0:
        return network.shape({ delay: [this.#below(20), 20 + this.#below(200)] }, a, b);
      case 1:
        return network.shape({ chunk: [1, 20 + this.#below(2_000)], bandwidth }, a, b);
      case 2:
        return await this.#cluster.restart(
          this.#pick(SERVERS),
          harsh ? this.#below(2) * this.#below(5_000) : 600_000,
        );
      case 3:
        return network.stall(a, b);
      case 4:
        return network.partition(a, this.#chance(0.5) ? b : undefined);
      case 5:
        return void network.cut(a, this.#chance(0.5) ? b : undefined);
      case 6:
        return void network.halfOpen(a, b);
      case 7:
        return network.shape({ refuse: this.#below(2) }, a, b);
      case 8:
        return network.heal();
    }
  }

  async #recover(clients: readonly Client[]): Promise<void> {
    const { network, sleep } = this.#sim;
    network.heal();
    for (const a of HOSTS) {
      for (const b of HOSTS) {
        if (a !== b) network.shape({ delay: 5, chunk: 1e9, bandwidth: Infinity, refuse: 0 }, a, b);
      }
    }
    await sleep(RECOVERY);
    for (const client of clients) {
      for (let n = 0; n < 10 * SERVERS.length; n++) {
        const id = this.#calls.push({ idempotent: false, executions: 0, outcome: "ok" }) - 1;
        await client.call("S.work", { id, ms: 0, text: "", idempotent: false }, { timeout: 100 });
      }
    }
    for (const [host, server] of this.#cluster.servers) {
      const calls = server.stats().methods.reduce((sum, method) => sum + method.calls, 0);
      assert(calls > 0, `nothing goes to ${host} after everything has healed`);
    }
  }

  #check(): void {
    const { network, time } = this.#sim;
    for (const [id, { idempotent, executions, outcome }] of this.#calls.entries()) {
      assert(outcome !== undefined, `call ${id} was never settled`);
      if (outcome === "not started") {
        assertEquals(executions, 0, `call ${id} was started, and said that it was not`);
      }
      if (outcome === "ok") assert(executions > 0, `call ${id} was answered and not executed`);
      if (!idempotent) assert(executions <= 1, `call ${id} was executed ${executions} times`);
    }
    for (const [host, server] of this.#cluster.servers) {
      assertEquals([host, server.stats().connections, server.stats().inFlight], [host, 0, 0]);
    }
    assertEquals([network.connections, time.timers], [0, 0], "connections or timers are left over");
  }

  #below(limit: number): number {
    return Math.floor(this.#sim.random() * limit);
  }

  #chance(share: number): boolean {
    return this.#sim.random() < share;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }

  /** Two different hosts. */
  #two(): [string, string] {
    const a = this.#pick(HOSTS);
    return [a, this.#pick(HOSTS.filter((host) => host !== a))];
  }
}
