// The command `top`: a live view of what servers report. On a terminal it redraws the screen; otherwise it
// prints a table, or JSON, per report.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Discovery } from "../discovery/discovery.ts";
import type { Command, Invocation } from "./command.ts";
import type { Shell } from "./shell.ts";
import { FollowedServer } from "./followed.ts";
import { printValue } from "./print_value.ts";
import { type Row, rowsOf } from "./samples.ts";
import { CONNECT_FLAGS, discoverAt, listServers, readTarget, SERVICE_FLAG } from "./target.ts";
import { columns, milliseconds, plural, printable, rate } from "./format.ts";

/**
 * Escape sequences: enter the alternate screen and hide the cursor, leave it, move to the top left, clear.
 */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_REST = "\x1b[J";
/** Reports within this many ms are drawn together. */
const DRAW_TOGETHER = 50;

/** Shows live statistics of servers. */
export const top: Command = {
  name: "top",
  summary: "Shows live statistics of servers: calls, errors, latencies by method",
  operands: "ADDRESS",
  about:
    `Rates and latencies cover the time since the last report, except the maximum, which covers the time since
the server's start. On a terminal the table is redrawn with each report; otherwise it is printed for each
report from the second on, and --count ends the command. With a registry, every server on its list is
shown, and servers that join or leave are added or removed. Runs until Ctrl-C.`,
  flags: [
    { name: "interval", value: "TIME", help: "Time between reports (1s)" },
    { name: "count", value: "N", help: "Stop after this many tables per server (none)" },
    ...CONNECT_FLAGS,
    SERVICE_FLAG,
    { name: "json", help: "Print JSON, one line for each report, with the full report" },
  ],
  examples: [
    ["top localhost:9000", "One server"],
    ["top http://127.0.0.1:9999 --interval 5s", "All servers of a registry"],
    ["top localhost:9000 --count 1 --json", "One report with rates, for programs"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { operands: [address = ""], flags, shell } = invocation;
  const target = readTarget(address);
  const interval = flags.duration("interval", 1_000, 100);
  const count = flags.countOrNone("count", Infinity, 999_999_999);
  // Fail if the registry does not answer at the start, rather than wait for it.
  await listServers(target, invocation);
  const stop = new AbortController();
  const signal = AbortSignal.any([invocation.signal, stop.signal]);
  const screen = shell.size() === undefined || flags.has("json") ? undefined : new Screen(shell, signal);
  const all = new Map<string, FollowedServer>();
  let failure: unknown;
  const fail = (error: unknown) => {
    failure ??= error;
    stop.abort();
  };
  const changed = async (server: FollowedServer) => {
    if (screen === undefined) await print(server, invocation);
    else await screen.draw(all);
    // The first report has no rates yet.
    if (server.reports <= count) return;
    if ([...all.values()].every(({ reports, trouble }) => reports > count || trouble)) stop.abort();
  };
  const follow = (server: FollowedServer) => {
    all.set(server.address, server);
    return server.follow({ ...invocation, signal }, { interval, strict: target.kind === "server", changed })
      .catch(fail);
  };
  try {
    await screen?.enter();
    if (target.kind === "server") await follow(new FollowedServer(target.address));
    else await followListed(discoverAt(target.url, flags), all, follow, signal);
    if (failure !== undefined) throw failure;
  } finally {
    stop.abort();
    await screen?.leave();
  }
}

/** Follows the servers listed by a registry, as they join and leave. */
async function followListed(
  discovery: Discovery,
  all: Map<string, FollowedServer>,
  follow: (server: FollowedServer) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const following: Promise<void>[] = [];
  for await (const endpoints of discovery.watch({ signal })) {
    const listed = new Set(endpoints.map(({ address }) => address));
    for (const [address, server] of all) {
      if (listed.has(address)) continue;
      server.stop();
      all.delete(address);
    }
    for (const address of listed) {
      if (!all.has(address)) following.push(follow(new FollowedServer(address)));
    }
  }
  await Promise.all(following);
}

/** Prints the state of a server, where there is no screen. */
async function print(server: FollowedServer, { flags, shell }: Invocation): Promise<void> {
  const { address, now, before, trouble } = server;
  if (flags.has("json")) {
    if (trouble !== undefined) await shell.out(`${printValue({ address, trouble })}\n`);
    if (trouble !== undefined || now === undefined || before === undefined) return;
    const rows = rowsOf(now, before);
    await shell.out(`${printValue({ address, rows, stats: now.stats })}\n`);
  } else if (trouble !== undefined || before !== undefined) {
    await shell.out(`${new Date().toTimeString().slice(0, 8)}  ${tableOf(server).join("\n")}\n\n`);
  }
}

/** A server and its methods, as lines. */
function tableOf({ address, now, before, trouble }: FollowedServer): string[] {
  if (trouble !== undefined) return [`${printable(address)}  ${printable(trouble)}`];
  if (now === undefined) return [`${printable(address)}  connecting`];
  const rows = rowsOf(now, before);
  const { connections, inFlight } = now.stats;
  const sum = (figure: "callsPerSecond" | "errorsPerSecond") =>
    rate(rows.reduce((sum, row) => sum + row[figure], 0));
  const head = [
    printable(address),
    plural(connections, "connection"),
    `${inFlight} in flight`,
    `${sum("callsPerSecond")} calls/s`,
    `${sum("errorsPerSecond")} errors/s`,
  ];
  return [head.join("  "), ...columns([HEADS, ...rows.map(cellsOf)], 1)];
}

/** Lines of a table before its first method. */
const HEAD_LINES = 2;
const HEADS = [
  "METHOD",
  "CALLS/S",
  "ERRORS/S",
  "IN FLIGHT",
  "MEAN ms",
  "P50 ms",
  "P99 ms",
  "MAX ms",
  "CALLS",
  "ERRORS",
];

function cellsOf(row: Row): string[] {
  return [
    row.method,
    rate(row.callsPerSecond),
    rate(row.errorsPerSecond),
    String(row.inFlight),
    ...[row.mean, row.p50, row.p99, row.max].map((ms) => ms === undefined ? "-" : milliseconds(ms)),
    String(row.calls),
    String(row.errors),
  ];
}

/** Fits tables into the given number of lines; the last line counts what was left out. */
function fitted(tables: readonly string[][], room: number): string[] {
  const all = tables.flatMap((table, i) => i === 0 ? table : ["", ...table]);
  if (all.length <= room) return all;
  const left = { methods: 0, servers: 0 };
  let free = room - 1;
  for (const table of tables) {
    const shown = Math.max(0, free);
    if (shown === 0) left.servers++;
    left.methods += Math.max(0, table.length - Math.max(HEAD_LINES, shown));
    free -= table.length + 1;
  }
  const more = [[left.methods, "more method"], [left.servers, "more server"]] as const;
  const what = more.filter(([count]) => count > 0).map(([count, one]) => plural(count, one)).join(" and ");
  return [...all.slice(0, room - 1), `and ${what}: use a larger terminal, or --json`];
}

/** The terminal screen. */
class Screen {
  readonly #shell: Shell;
  readonly #signal: AbortSignal;
  #drawing: Promise<void> | undefined;

  constructor(shell: Shell, signal: AbortSignal) {
    this.#shell = shell;
    this.#signal = signal;
  }

  async enter(): Promise<void> {
    await this.#shell.out(ENTER);
  }

  /** Schedules a redraw. */
  draw(servers: ReadonlyMap<string, FollowedServer>): Promise<void> {
    return this.#drawing ??= this.#draw(servers).finally(() => this.#drawing = undefined);
  }

  async leave(): Promise<void> {
    await this.#drawing?.catch(() => {});
    await this.#shell.out(LEAVE);
  }

  async #draw(servers: ReadonlyMap<string, FollowedServer>): Promise<void> {
    await sleep(SYSTEM_CLOCK, DRAW_TOGETHER, this.#signal);
    const size = this.#shell.size();
    if (this.#signal.aborted || size === undefined) return;
    const title = `rpc top  ${new Date().toTimeString().slice(0, 8)}  (Ctrl-C to quit)`;
    // The cursor occupies the last line.
    const lines = [title, "", ...fitted([...servers.values()].map(tableOf), size.rows - 3)];
    const shown = lines.slice(0, size.rows - 1).map((line) => line.slice(0, size.columns));
    await this.#shell.out(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE}\n`).join("")}${CLEAR_REST}`);
  }
}
