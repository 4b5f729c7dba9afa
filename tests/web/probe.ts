// The service that the vectors of docs/vectors/connect.json call, and a door to it.

import {
  type CallContext,
  type Code,
  defineService,
  method,
  RpcError,
  Server,
  type ServerOptions,
} from "../../server/mod.ts";
import type { StandardSchema } from "../../call/standard_schema.ts";
import { web, type WebOptions } from "../../web/mod.ts";

/** A schema for objects whose fields are whole numbers, 0 where they are left out. */
function numbers<K extends string>(
  ...names: K[]
): StandardSchema<Partial<Record<K, number>>, Record<K, number>> {
  return {
    "~standard": {
      version: 1,
      vendor: "probe",
      validate(value: unknown) {
        if (typeof value !== "object" || value === null || Array.isArray(value)) {
          return { issues: [{ message: "expected an object" }] };
        }
        const given = value as Record<string, unknown>;
        const result: Record<string, number> = {};
        for (const name of names) {
          const number = given[name] ?? 0;
          if (typeof number !== "number") return { issues: [{ message: "expected a number", path: [name] }] };
          result[name] = number;
        }
        return { value: result as Record<K, number> };
      },
    },
  };
}

interface Failure {
  readonly code: Code;
  readonly message?: string;
  readonly details?: unknown;
}

interface Count {
  readonly n?: number;
  readonly failAfter?: number;
  readonly code?: Code;
  readonly everyMs?: number;
}

const pair = numbers("a", "b");
const item = numbers("v");

/** The contract of the probe. */
export const Probe = defineService("vectors.v1.Probe", {
  sum: method<{ a?: number; b?: number }, { sum: number }, { a: number; b: number }>({ args: pair }),
  look: method<{ a?: number; b?: number }, { sum: number }, { a: number; b: number }>({
    args: pair,
    readOnly: true,
  }),
  echo: method<unknown, unknown>(),
  nothing: method(),
  fail: method<Failure>(),
  crash: method(),
  sleep: method<{ ms: number }>(),
  meta: method<void, { in: string; inBin: string }>(),
  count: method.serverStream<Count, { v: number }>(),
  total: method.clientStream<{ v?: number }, { total: number; items: number }, { v: number }>({ args: item }),
  chat: method.conversation<{ v?: number }, { v: number }, { v: number }>({ args: item }),
});

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function addTrailer({ metadata, replyMetadata }: CallContext): void {
  if (metadata.has("x-want-trailer")) replyMetadata.set("x-trail", "2");
}

/** A server with the probe. */
export function probeServer(options: ServerOptions = {}): Server {
  return new Server({ maxFrameBytes: 1_048_576, ...options }).register(Probe, {
    sum: ({ a, b }) => ({ sum: a + b }),
    look: ({ a, b }) => ({ sum: a + b }),
    echo: (value) => value,
    nothing() {},
    fail({ code, message = "", details }, context) {
      addTrailer(context);
      const { retryAfter } = Object(details) as { retryAfter?: number };
      throw new RpcError(code, message, { details, retryAfter: retryAfter && 2_400 });
    },
    crash() {
      throw new Error("secret 42");
    },
    sleep: ({ ms }, { signal }) => sleep(ms, signal),
    meta(_, { metadata, replyMetadata }) {
      const bytes = metadata.get("x-in-bin");
      replyMetadata.set("x-out", "1");
      replyMetadata.set("x-trail", "2");
      replyMetadata.set("x-trail-bin", Uint8Array.of(1, 2));
      const inBin = bytes instanceof Uint8Array ? bytes.toBase64() : "";
      return { in: String(metadata.get("x-in") ?? ""), inBin };
    },
    async *count({ n = 0, failAfter, code, everyMs = 0 }, context) {
      addTrailer(context);
      for (let v = 1; v <= n || failAfter !== undefined; v++) {
        if (failAfter !== undefined && v > failAfter) throw new RpcError(code!, "failed on purpose");
        if (everyMs > 0) await sleep(everyMs, context.signal);
        if (code !== undefined && failAfter === undefined) throw new RpcError(code, "failed on purpose");
        yield { v };
      }
      if (code !== undefined) throw new RpcError(code, "failed on purpose");
    },
    async total(items) {
      let [total, count] = [0, 0];
      for await (const { v } of items) {
        total += v;
        count++;
      }
      return { total, items: count };
    },
    async *chat(items) {
      for await (const each of items) yield each;
    },
  });
}

/** The probe at a port of this machine. */
export class ProbeDoor implements AsyncDisposable {
  readonly server: Server;
  readonly #http: Deno.HttpServer<Deno.NetAddr>;

  constructor(server: Server = probeServer(), options: WebOptions = { cors: ["https://app.example"] }) {
    this.server = server;
    this.#http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, web(server, options));
  }

  get port(): number {
    return this.#http.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Posts JSON to a method of the probe. */
  post(name: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/vectors.v1.Probe/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.#http.shutdown();
    // The door looks at requests once more a turn later.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
