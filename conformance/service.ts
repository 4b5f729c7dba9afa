// deno-lint-ignore-file no-console -- the output is this program's purpose
// The service of a server under test, as docs/CONFORMANCE.md describes it, implemented with this library:
// `deno run -P=conformance-peer conformance/service.ts tcp@127.0.0.1:9000`.

import { type CallContext, type ContractHandlers, defineService, method, RpcError, Server } from "../mod.ts";

/** A contract, so that calls of the wrong kind are rejected. */
const Conformance = defineService("Conformance", {
  features: method<void, string[]>(),
  echo: method<unknown, unknown>(),
  length: method<unknown, number>(),
  fail: method<{ code: RpcError["code"]; message: string; details?: unknown }, null>(),
  crash: method<string, null>(),
  text: method<number, string>(),
  sleep: method<number, null>(),
  hang: method<string, null>(),
  stopped: method<string, null>(),
  count: method.serverStream<{ to: number; key?: string }, number>(),
  texts: method.serverStream<{ of: number; items: number }, string>(),
  sum: method.clientStream<unknown, number>(),
  chat: method.conversation<unknown, unknown>(),
  stall: method.clientStream<unknown, null>(),
  callBack: method<{ method: string; args: unknown }, unknown>(),
  drain: method<void, null>(),
});

class Handlers implements ContractHandlers<typeof Conformance> {
  /** By the key of a call: resolves when its signal has aborted. */
  readonly #stops = new Map<string, PromiseWithResolvers<null>>();
  readonly #drain: () => void;

  constructor(drain: () => void) {
    this.#drain = drain;
  }

  features() {
    return ["streams", "callbacks", "json", "values", "limits", "drain"];
  }
  echo(value: unknown) {
    // On the wire, an omitted argument is null.
    return value ?? null;
  }
  length(value: unknown) {
    return Array.isArray(value) || typeof value === "string" ? value.length : 1;
  }
  fail({ code, message, details }: { code: RpcError["code"]; message: string; details?: unknown }): null {
    throw new RpcError(code, message, { details });
  }
  crash(text: string): null {
    throw new Error(text);
  }
  text(length: number) {
    return "x".repeat(length);
  }
  sleep(ms: number, { signal }: CallContext) {
    return new Promise<null>((resolve, reject) => {
      const timer = setTimeout(resolve, ms, null);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    });
  }
  hang(key: string, { signal }: CallContext) {
    return new Promise<null>((_, reject) => {
      signal.addEventListener("abort", () => {
        this.#stopOf(key).resolve(null);
        reject(signal.reason);
      });
    });
  }
  stopped(key: string) {
    return this.#stopOf(key).promise;
  }
  async *count({ to, key }: { to: number; key?: string }) {
    let n = 1;
    try {
      for (; n <= to; n++) yield n;
    } finally {
      if (n <= to && key !== undefined) this.#stopOf(key).resolve(null);
    }
  }
  *texts({ of, items }: { of: number; items: number }) {
    for (let i = 0; i < items; i++) yield "x".repeat(of);
  }
  async sum(numbers: AsyncIterable<unknown>) {
    let sum = 0;
    for await (const n of numbers) {
      if (typeof n !== "number") throw new RpcError("invalid_argument", "Cannot sum: expected numbers");
      sum += n;
    }
    return sum;
  }
  chat(items: AsyncIterable<unknown>) {
    return items;
  }
  stall(_items: AsyncIterable<unknown>, context: CallContext) {
    return this.hang("", context);
  }
  callBack({ method, args }: { method: string; args: unknown }, { peer }: CallContext) {
    return peer.call(method, args);
  }
  drain() {
    this.#drain();
    return null;
  }

  #stopOf(key: string): PromiseWithResolvers<null> {
    const stop = this.#stops.get(key) ?? Promise.withResolvers<null>();
    this.#stops.set(key, stop);
    return stop;
  }
}

/** Creates a server with the service. */
export function conformanceServer(): Server {
  const server: Server = new Server({ heartbeatInterval: 500 });
  return server.register(Conformance, new Handlers(() => void server.shutdown()));
}

if (import.meta.main) {
  const { address } = await conformanceServer().listen(Deno.args[0] ?? "tcp@127.0.0.1:0");
  console.log(address);
}
