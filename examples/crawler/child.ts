// Starts another program of the crawler as a child process and stops it with its parent.

import { print } from "./program.ts";

/** How long a process may take to stop after SIGTERM, in ms. */
const END_TIMEOUT = 5_000;

/** A child process. Disposing of it stops it gracefully. */
export interface Child extends AsyncDisposable {
  readonly process: Deno.ChildProcess;
  /** The first line of its output, with its address; rejects if the process exits before. */
  readonly started: Promise<string>;
}

/**
 * Starts a program of this folder, with the permission set of its name.
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
  // The caller may not await it.
  first.promise.catch(() => {});
  let ended = false;
  const status = process.status.then(() => {
    ended = true;
  });
  const read = forward(process.stdout, first.resolve).then(() => {
    first.reject(new Error(`${script} exited before it was ready`));
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

/** Passes on the first line, and prints the others. */
async function forward(stdout: ReadableStream<Uint8Array>, onFirst: (line: string) => void): Promise<void> {
  let buffered = "";
  let first = true;
  for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (buffered + text).split("\n");
    buffered = lines.pop()!;
    for (const line of lines) {
      if (first) onFirst(line);
      else print(line);
      first = false;
    }
  }
}
