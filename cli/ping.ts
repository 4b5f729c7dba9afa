// The command `ping`: whether servers answer, and how fast. Each ping opens a connection and measures
// connecting, including the handshake, then one protocol round trip: a call of a method that does not exist,
// which every server answers without running a handler.

import { RpcError } from "../call/error.ts";
import { RESERVED } from "../call/reflection.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Command, Invocation } from "./command.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, listServers, openServer, readTarget, SERVICE_FLAG } from "./target.ts";
import { columns, milliseconds, printable } from "./format.ts";

const NO_METHOD = `${RESERVED}Ping.ping`;

/** Pings servers. */
export const ping: Command = {
  name: "ping",
  summary: "Measures the response time of a server",
  operands: "ADDRESS",
  about:
    `Each ping opens a connection and measures two times in ms: connecting with the handshake (and TLS), and
one protocol round trip after that. Every server answers, whatever services it has, unless it rejects
this client. With a registry, every server on its list is pinged. The exit code is 1 if any ping was
not answered.`,
  flags: [
    { name: "count", value: "N", help: "Number of pings, or none: until Ctrl-C (4)" },
    { name: "interval", value: "TIME", help: "Time between pings (1s)" },
    ...CONNECT_FLAGS,
    SERVICE_FLAG,
    { name: "json", help: "Print JSON, one line for each ping" },
  ],
  examples: [
    ["ping localhost:9000", "Four pings, a second apart"],
    ["ping tls@api.example.com:9000 --count 1 --timeout 2s", "A health check"],
    ["ping http://127.0.0.1:9999 --service Echo", "All servers that offer Echo"],
  ],
  run,
};

/** The times of one ping, in ms. */
interface Times {
  readonly handshake: number;
  readonly roundTrip: number;
}

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = ""], flags, shell, signal } = invocation;
  const count = flags.countOrNone("count", 4, 999_999_999);
  const interval = flags.duration("interval", 1_000, 10);
  const servers = await listServers(readTarget(address), invocation);
  const pings = new PingStats();
  for (let round = 0; round < count && !signal.aborted; round++) {
    if (round > 0) await sleep(SYSTEM_CLOCK, interval, signal);
    for (const { address } of servers) {
      const times = await pingOnce(address, invocation);
      // An interrupted ping says nothing about the server.
      if (signal.aborted) break;
      pings.add(times);
    }
  }
  if (!flags.has("json")) await shell.out(`${pings.summary().join("\n")}\n`);
  return pings.answered === pings.sent ? 0 : 1;
}

/** Pings a server and prints the result. */
async function pingOnce(address: string, invocation: Invocation): Promise<Times | undefined> {
  const { flags, shell, signal } = invocation;
  try {
    const times = await measure(address, invocation);
    const { handshake, roundTrip } = times;
    await shell.out(
      flags.has("json")
        ? `${printValue({ address, handshake, roundTrip })}\n`
        : `${printable(address)}  handshake ${milliseconds(handshake)} ms  round trip ${
          milliseconds(roundTrip)
        } ms\n`,
    );
    return times;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!(error instanceof RpcError)) throw error;
    const { code, message } = error;
    await shell.out(
      flags.has("json")
        ? `${printValue({ address, error: { code, message } })}\n`
        : `${printable(address)}  ${code}: ${printable(message)}\n`,
    );
    return undefined;
  }
}

async function measure(address: string, invocation: Invocation): Promise<Times> {
  const startedAt = performance.now();
  await using client = await openServer(address, invocation);
  const connected = performance.now();
  try {
    await client.call(NO_METHOD, null, { ...callOptions(invocation), failMode: "failfast" });
  } catch (error) {
    if (!(error instanceof RpcError && error.code === "unimplemented" && error.remote)) throw error;
  }
  return { handshake: connected - startedAt, roundTrip: performance.now() - connected };
}

/** Aggregate of one of the two times, in ms. */
class TimeStats {
  #count = 0;
  #min = Infinity;
  #sum = 0;
  #max = 0;

  add(ms: number): void {
    this.#count++;
    this.#min = Math.min(this.#min, ms);
    this.#sum += ms;
    this.#max = Math.max(this.#max, ms);
  }

  cells(): string[] {
    return [this.#min, this.#sum / this.#count, this.#max].map(milliseconds);
  }
}

/** Statistics of all pings so far. */
class PingStats {
  sent = 0;
  answered = 0;
  readonly #handshake = new TimeStats();
  readonly #roundTrip = new TimeStats();

  /** Records a ping, with its times if it was answered. */
  add(times: Times | undefined): void {
    this.sent++;
    if (times === undefined) return;
    this.answered++;
    this.#handshake.add(times.handshake);
    this.#roundTrip.add(times.roundTrip);
  }

  summary(): string[] {
    const head = `${this.sent} sent, ${this.answered} answered`;
    if (this.answered === 0) return [head];
    const rows = [
      ["ms", "min", "mean", "max"],
      ["handshake", ...this.#handshake.cells()],
      ["round trip", ...this.#roundTrip.cells()],
    ];
    return [head, ...columns(rows, 1)];
  }
}
