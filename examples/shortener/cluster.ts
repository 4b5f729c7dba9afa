// Starts a master and two replicas as processes, to try them out and kill them one by one. Used by main.ts.

import { dirname } from "node:path";
import { urlHost } from "@troodon/rpc/discovery";
import type { AllFlags, Place } from "./flags.ts";

const MAIN = new URL("main.ts", import.meta.url).href;

type Log = (line: string) => void;

/** One of the processes. */
interface Member {
  readonly process: Deno.ChildProcess;
  /** The line that it printed when it was ready. */
  readonly line: string;
}

/** Starts all three, prints their addresses, and runs until `stopped` or until all have ended. */
export async function runAll({ http, file }: AllFlags, log: Log, stopped: Promise<void>): Promise<void> {
  const members: Member[] = [];
  const add = async (permissions: string[], args: string[]) => {
    const member = await start(permissions, args);
    members.push(member);
    log(member.line);
    return member.line;
  };
  try {
    const folder = dirname(file) === "." ? file : dirname(file);
    const files = [`--allow-read=${folder}`, `--allow-write=${folder}`];
    const line = await add(files, ["--http", place(http, 0), "--rpc", "0", "--file", file]);
    const [, web = "", rpc = ""] = /http:\/\/(.+)\/, RPC at tcp@([^,]+),/.exec(line) ?? [];
    for (const n of [1, 2]) await add([], ["--http", place(http, n), "--master", rpc]);
    log("Ctrl-C stops all; kill -9 one by its pid to see how the others react. To start the master again:");
    log(`deno task shortener --http ${web} --rpc ${rpc} --file ${file}`);
    await Promise.race([stopped, Promise.all(members.map((member) => logEnd(member, log)))]);
  } finally {
    // Stop the replicas first, so that their in-flight requests still reach the master.
    for (const { process } of members.reverse()) await stop(process);
  }
}

function place({ hostname, port }: Place, n: number): string {
  return `${urlHost(hostname)}:${port === 0 ? 0 : port + n}`;
}

/** Starts a process with minimal permissions, and waits until it listens. */
async function start(permissions: string[], args: string[]): Promise<Member> {
  const process = new Deno.Command("deno", {
    args: ["run", "--quiet", "--allow-net", ...permissions, MAIN, ...args],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error("one of the processes did not start; see its message above");
    text += value;
  }
  return { process, line: text.trim().replace(/^shortener: /, "") };
}

async function logEnd({ process, line }: Member, log: Log): Promise<void> {
  const { signal, code } = await process.status;
  log(`the ${line.split(" ", 1)[0]} with pid ${process.pid} has ended (${signal ?? `code ${code}`})`);
}

async function stop(process: Deno.ChildProcess): Promise<void> {
  try {
    process.kill("SIGTERM");
  } catch {
    // It has already ended.
  }
  await process.status;
}
