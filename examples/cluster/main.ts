// deno-lint-ignore-file no-console -- the output is this program's purpose
// A cluster under load: three servers, one of them slow; one is killed, one joins, then all are restarted in
// turn, several times. `deno task cluster` runs it and prints which server answered how many calls; the exit
// code is 0 only if no idempotent call failed and no other call was executed twice.

import { parseArgs } from "@std/cli";
import { connect, Registry, RegistryDiscovery } from "../../mod.ts";
import { Load, type Phase } from "./load.ts";

/** A server process. */
class Member {
  private constructor(readonly name: string, readonly address: string, readonly child: Deno.ChildProcess) {}

  /** Starts a server, and waits until it is registered. */
  static async start(registryUrl: string, name: string, delay: number): Promise<Member> {
    const child = new Deno.Command("deno", {
      args: [
        "run",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        new URL("./worker.ts", import.meta.url).href,
        registryUrl,
        name,
        String(delay),
      ],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    if (value === undefined) throw new Error(`${name} exited before it was ready`);
    return new Member(name, value.trim(), child);
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.child.kill(signal);
    await this.child.status;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function row(cells: readonly string[], names: number): string {
  const widths = [24, 7, 8, 8, ...Array(names).fill(9)];
  return cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("");
}

function printTable(phases: readonly Phase[]): void {
  const names = [...new Set(phases.flatMap(({ answered }) => [...answered.keys()]))].sort();
  console.log(`\n${row(["", "calls", "failed", "p99 ms", ...names], names.length)}`);
  for (const { name, calls, failedLooks, failedBooks, answered, times } of phases) {
    times.sort((a, b) => a - b);
    const p99 = times[Math.floor(times.length * 0.99)] ?? 0;
    const shares = names.map((each) => answered.has(each) ? `${percent(answered.get(each)!, calls)} %` : "");
    const failed = failedBooks > 0 ? `${failedLooks}+${failedBooks}` : String(failedLooks);
    console.log(row([name, String(calls), failed, p99.toFixed(0), ...shares], names.length));
  }
}

function percent(part: number, wholeNumber: number): string {
  return (100 * part / wholeNumber).toFixed(0);
}

/** Parses a flag as a whole number. */
function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`Cannot use --${name} ${text}: expected a whole number above 0`);
  Deno.exit(1);
}

async function main(rounds: number, seconds: number, rate: number): Promise<boolean> {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  console.log(`registry: ${url} (its page shows the servers)`);
  const load = new Load();
  const [ada, bob, slow] = await Promise.all([
    Member.start(url, "ada", 3),
    Member.start(url, "bob", 3),
    Member.start(url, "slow", 30),
  ]) as [Member, Member, Member];
  await using client = await connect(new RegistryDiscovery(url), {
    balancer: "least_pending",
    services: { Book: load.book },
  });
  load.phase("three, one of them slow");
  load.start(client, rate);
  await pause(seconds * 1_000);

  load.phase("bob is killed");
  await bob.end("SIGKILL");
  await pause(seconds * 1_000);

  load.phase("cleo joins");
  let members = [ada, slow, await Member.start(url, "cleo", 3)];
  await pause(seconds * 1_000);

  load.phase(`${rounds} rolling restarts`);
  for (let round = 0; round < rounds; round++) {
    const next: Member[] = [];
    for (const member of members) {
      next.push(await Member.start(url, member.name, member.name === "slow" ? 30 : 3));
      await member.end("SIGTERM");
    }
    members = next;
  }
  await load.stop();
  await Promise.all(members.map((member) => member.end("SIGTERM")));
  await registry.close();

  printTable(load.phases);
  const failed = load.phases.reduce((sum, { failedLooks }) => sum + failedLooks, 0);
  const lost = load.phases.reduce((sum, { failedBooks }) => sum + failedBooks, 0);
  const { twice } = load;
  for (const [text, count] of load.errors) console.log(`${count} × ${text}`);
  console.log(
    `\n${failed} idempotent calls failed; ${twice} other calls were executed twice, ${lost} of them failed because ` +
      "their server was killed",
  );
  return failed === 0 && twice === 0;
}

const flags = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "rate"],
  boolean: ["help"],
  default: { rounds: "3", seconds: "2", rate: "500" },
});
if (flags.help) {
  console.log("deno task cluster [--rounds 3] [--seconds 2 per phase] [--rate 500 calls per second]");
} else {
  const { rounds, seconds, rate } = flags;
  const good = await main(
    wholeNumber("rounds", rounds),
    wholeNumber("seconds", seconds),
    wholeNumber("rate", rate),
  );
  Deno.exitCode = good ? 0 : 1;
}
