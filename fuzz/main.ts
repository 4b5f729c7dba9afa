// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task fuzz`: fuzzes every decoder with malformed input for some seconds, and reports the outcomes.
//   --seconds=30      total time of all targets
//   --seed=N          repeats a run; random and printed by default
//   --target=NAME     cbor, json, values, frames, websocket, handshake, server, client, slow or worst; may be given
//   several times
//   --case=HEX        runs one case of one target again

import { parseArgs } from "@std/cli";
import { Random } from "../tests/support/cbor_random.ts";
import { cborTarget, jsonTarget } from "./codec.ts";
import { framesTarget } from "./frames.ts";
import { handshakeTarget } from "./handshake.ts";
import { clientTarget } from "./live_client.ts";
import { serverTarget } from "./live_server.ts";
import { fuzz, type Report, runWithTimeout } from "./run.ts";
import { slowTarget } from "./slow.ts";
import type { Target } from "./target.ts";
import { valuesTarget } from "./values.ts";
import { webSocketTarget } from "./websocket.ts";
import { worst } from "./worst.ts";

const TARGETS: Readonly<Record<string, (random: Random) => Target | Promise<Target>>> = {
  cbor: cborTarget,
  json: jsonTarget,
  values: () => valuesTarget(),
  frames: framesTarget,
  websocket: webSocketTarget,
  handshake: handshakeTarget,
  server: serverTarget,
  client: clientTarget,
  slow: () => slowTarget(),
};

const flags = parseArgs(Deno.args, {
  string: ["target", "case"],
  collect: ["target"],
  default: { seconds: 30, seed: Math.floor(Math.random() * 2 ** 31) },
});
const seed = Number(flags.seed);
const names: string[] = flags.target.length > 0 ? flags.target : [...Object.keys(TARGETS), "worst"];
const unknown = names.find((name) => name !== "worst" && !Object.hasOwn(TARGETS, name));
if (unknown !== undefined || !Number.isSafeInteger(seed) || !(Number(flags.seconds) > 0)) {
  console.error(
    `Cannot fuzz: expected --target of ${Object.keys(TARGETS).join(", ")} or worst, --seed, --seconds`,
  );
  Deno.exit(2);
}
// Capturing stack traces of so many errors would dominate the run time.
Reflect.deleteProperty(Error, "stackTraceLimit");

/** Prints the report of a target. */
function print({ target, cases, seconds, memory, outcomes, finding }: Report): void {
  const rate = Math.round(cases / seconds).toLocaleString("en");
  const [warm, last] = memory.map((bytes) => Math.round(bytes / 1_048_576));
  console.log(
    `${target}: ${cases.toLocaleString("en")} cases, ${rate} a second, ${warm} → ${last} MiB resident`,
  );
  const byCount = [...outcomes].sort(([, a], [, b]) => b - a);
  for (const [outcome, count] of byCount.slice(0, 30)) {
    console.log(`  ${(100 * count / cases).toFixed(2).padStart(6)} %  ${outcome}`);
  }
  if (byCount.length > 30) console.log(`  and ${byCount.length - 30} more outcomes`);
  if (finding === undefined) return;
  const hex = finding.bytes.toHex();
  console.log(`  FAULT with seed ${seed}: ${finding.message}`);
  console.log(`  repeat with: deno task fuzz --target=${target} --seed=${seed} --case=${hex}`);
}

async function runCase(name: string, hex: string): Promise<boolean> {
  await using target = await TARGETS[name]!(new Random(seed));
  try {
    console.log(await runWithTimeout(target, Uint8Array.fromHex(hex)));
    return true;
  } catch (error) {
    console.log(`FAULT: ${error instanceof Error ? error.message : error}`);
    return false;
  }
}

async function runAll(): Promise<boolean> {
  const each = Number(flags.seconds) / names.filter((name) => name !== "worst").length;
  console.log(`seed ${seed}`);
  let good = true;
  for (const name of names) {
    if (name === "worst") {
      good = worst((line) => console.log(line)) && good;
      continue;
    }
    await using target = await TARGETS[name]!(new Random(seed));
    const report = await fuzz(target, seed, each);
    print(report);
    good &&= report.finding === undefined;
  }
  return good;
}

globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  console.log(`FAULT: unhandled rejection: ${event.reason}`);
  Deno.exitCode = 1;
});

const good = flags.case === undefined ? await runAll() : await runCase(names[0]!, flags.case);
if (!good) Deno.exitCode = 1;
