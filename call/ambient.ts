// The call that is being answered, for whatever its handler does: a call made inside a handler inherits its signal, its
// deadline and its trace without being told. Set by sessions around handlers, asked by clients.

import type { CallContext } from "./handler.ts";

interface Hooks {
  readonly AsyncLocalStorage: (new () => Storage) & { snapshot(): <R>(fn: () => R) => R };
}

interface Storage {
  run<R>(store: CallContext | undefined, fn: () => R): R;
  getStore(): CallContext | undefined;
}

/** Node's AsyncLocalStorage, which Deno has too; where there is none, such as in a browser, nothing is inherited. */
function loadHooks(): Hooks | undefined | Promise<Hooks> {
  return typeof Deno === "undefined" ? findHooks() : load("node:async_hooks");
}

/**
 * Loads a module of Node's by `import`, which in Deno takes a third of what `process` does: that loads most of Node's
 * compatibility layer. The name is a variable, since bundlers for browsers look for names that they see, and fail.
 */
function load<T>(name: string): Promise<T> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

function findHooks(): Hooks | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Hooks | undefined } };
  return process?.getBuiltinModule?.("node:async_hooks");
}

/**
 * Runs a function that may leave its caller in another asynchronous context than it found, and goes back to that one. With
 * OTEL_DENO=true Deno's `fetch` does so (2.9.6): whatever comes behind it would be part of the request's span.
 */
export function contained<R>(fn: () => R): R {
  const hooks = ambient.hooks ?? findHooks();
  return hooks === undefined ? fn() : hooks.AsyncLocalStorage.snapshot()(fn);
}

/** Where the storage is kept for all copies of the library in a process; the number changes with what it holds. */
const KEY = Symbol.for("@troodon/rpc ambient 1");

interface Shared {
  /** Holds a {@linkcode CallContext}, of which other copies use the public members. */
  storage: Storage | undefined;
}

/** What all copies share; in a realm whose global object takes no properties each has its own. */
function shared(): Shared {
  const found = (globalThis as { [KEY]?: Shared })[KEY];
  if (found !== undefined) return found;
  const value: Shared = { storage: undefined };
  Reflect.defineProperty(globalThis, KEY, { value });
  return value;
}

/**
 * What is inherited in one process. There is only one of it, because an asynchronous context is the process's too, and
 * copies of the library share it. It costs nothing until the first client is made, since only clients ask.
 */
class Ambient {
  readonly #shared = shared();
  #hooks: Hooks | undefined;

  /** What {@linkcode want} has loaded. */
  get hooks(): Hooks | undefined {
    return this.#hooks;
  }

  /** A client will ask as soon as this has resolved. */
  async want(): Promise<void> {
    this.#hooks ??= await loadHooks();
    if (this.#hooks !== undefined) this.#shared.storage ??= new this.#hooks.AsyncLocalStorage();
  }

  /** The call that is being answered here, if any. */
  current(): CallContext | undefined {
    return this.#shared.storage?.getStore();
  }

  /** Runs `fn` as part of answering `call`, or of no call at all. */
  run<R>(call: CallContext | undefined, fn: () => R): R {
    const { storage } = this.#shared;
    return storage === undefined ? fn() : storage.run(call, fn);
  }

  /** Whether anybody asks. */
  get wanted(): boolean {
    return this.#shared.storage !== undefined;
  }
}

/** What is inherited in this process. */
export const ambient: Ambient = new Ambient();

/**
 * Runs a function outside of the call that is being answered: calls that it makes inherit nothing, and go on when the
 * caller gives up. For work that a handler starts and does not wait for.
 *
 * @example
 * ```ts
 * import { connect, detach, Server } from "@troodon/rpc";
 *
 * await using log = new Server().register("Log", { write: (line: string) => console.log(line) });
 * const { address } = await log.listen("tcp@127.0.0.1:0");
 * await using client = await connect(address);
 *
 * await using server = new Server().register("Shop", {
 *   buy: () => {
 *     // The line is written even if the buyer hangs up now.
 *     void detach(() => client.call("Log.write", "sold"));
 *     return "thank you";
 *   },
 * });
 * ```
 *
 * @typeParam R What the function returns
 * @param fn What to run, at once
 * @returns What it returned
 */
export function detach<R>(fn: () => R): R {
  return ambient.run(undefined, fn);
}
