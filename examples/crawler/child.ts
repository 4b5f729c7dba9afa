// Another program of the crawler as a process of its own, which ends with whoever started it.

import { print } from "./program.ts";

/** How long a process may take to end when it is told to, in ms. */
const END_TIMEOUT = 5_000;

/** A process that was started. Disposing of it ends it in good order. */
export interface Child extends AsyncDisposable {
  readonly process: Deno.ChildProcess;
  /** The line that says where it listens; rejects if it ends before. */
  readonly started: Promise<string>;
}

/**
 * Starts a program of this folder, with the permissions that its name stands for.
 *
 * @param script Such as `worker.ts`
 */
export function startChild(script: "worker.ts" | "saver.ts", args: readonly string[]): Child {
  const { href } = new URL(script, import.meta.url);
  const permissions = `-P=crawler-${script.slice(0, -".ts".length)}`;
  const process = new Deno.Command("deno", {
    args: ["run", "-q", permissions, href, ...args],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const first = Promise.withResolvers<string>();
  // Nobody may be waiting for it.
  first.promise.catch(() => {});
  let ended = false;
  const status = process.status.then(() => {
    ended = true;
  });
  const read = forward(process.stdout, first.resolve).then(() => {
    first.reject(new Error(`${script} ended before it listened`));
  });
  return {
    process,
    started: first.promise,
    async [Symbol.asyncDispose]() {
      const kill = (signal: Deno.Signal) => {
        if (!ended) process.kill(signal);
      };
      kill("SIGTERM");
      const timer = setTimeout(() => kill("SIGKILL"), END_TIMEOUT);
      await Promise.all([status, read]);
      clearTimeout(timer);
    },
  };
}

/** Hands on the first line, and prints the others. */
async function forward(stdout: ReadableStream<Uint8Array>, onFirst: (line: string) => void): Promise<void> {
  let held = "";
  let first = true;
  for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (held + text).split("\n");
    held = lines.pop()!;
    for (const line of lines) {
      if (first) onFirst(line);
      else print(line);
      first = false;
    }
  }
}
