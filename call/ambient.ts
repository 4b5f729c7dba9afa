// The incoming call whose handler is running in the current asynchronous context. Calls that the handler makes inherit its
// signal, deadline and trace. Sessions set it around handlers; clients read it.

import type { CallContext } from "./handler.ts";

interface Hooks {
  readonly AsyncLocalStorage: (new () => Storage) & { snapshot(): <R>(fn: () => R) => R };
}

interface Storage {
  run<R>(store: CallContext | undefined, fn: () => R): R;
  getStore(): CallContext | undefined;
}

/** Node's AsyncLocalStorage, which Deno also has. Undefined elsewhere, such as in a browser: nothing is inherited there. */
function loadHooks(): Hooks | undefined | Promise<Hooks> {
  return typeof Deno === "undefined" ? findHooks() : load("node:async_hooks");
}

/**
 * Imports a module of Node. In Deno this takes a third of the time of `process`, which loads most of Node's compatibility
 * layer. The name is a variable, since bundlers for browsers would try to resolve a literal name.
 */
function load<T>(name: string): Promise<T> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

function findHooks(): Hooks | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Hooks | undefined } };
  return process?.getBuiltinModule?.("node:async_hooks");
}

/**
 * Runs a function that may replace the current asynchronous context, and restores the context afterwards. Deno's `fetch`
 * replaces it with OTEL_DENO=true (2.9.6): without this, everything that follows would be part of the request's span.
 */
export function inOwnContext<R>(fn: () => R): R {
  const hooks = ambient.hooks ?? findHooks();
  return hooks === undefined ? fn() : hooks.AsyncLocalStorage.snapshot()(fn);
}

/** Key of the storage that all copies of the library in a process share. The number changes with the type of its content. */
const KEY = Symbol.for("@troodon/rpc ambient 1");

interface Shared {
  /** Holds a {@linkcode CallContext}. Other copies of the library use only its public members. */
  storage: Storage | undefined;
}

/** State that all copies share. If the global object is not extensible, each copy has its own. */
function shared(): Shared {
  const found = (globalThis as { [KEY]?: Shared })[KEY];
  if (found !== undefined) return found;
  const value: Shared = { storage: undefined };
  Reflect.defineProperty(globalThis, KEY, { value });
  return value;
}

/**
 * The current incoming call of this process. There is a single instance, because an asynchronous context belongs to the
 * process; copies of the library share it. It costs nothing until the first client is created, since only clients read it.
 */
class Ambient {
  readonly #shared = shared();
  #hooks: Hooks | undefined;

  /** The module that {@linkcode enable} has loaded. */
  get hooks(): Hooks | undefined {
    return this.#hooks;
  }

  /** Starts tracking the current call. Called by clients, which read it after this has resolved. */
  async enable(): Promise<void> {
    this.#hooks ??= await loadHooks();
    if (this.#hooks !== undefined) this.#shared.storage ??= new this.#hooks.AsyncLocalStorage();
  }

  /** The call whose handler is running in this context, if any. */
  current(): CallContext | undefined {
    return this.#shared.storage?.getStore();
  }

  /** Runs `fn` in the context of `call`; undefined = outside of any call. */
  run<R>(call: CallContext | undefined, fn: () => R): R {
    const { storage } = this.#shared;
    return storage === undefined ? fn() : storage.run(call, fn);
  }

  /** Whether the current call is tracked. */
  get enabled(): boolean {
    return this.#shared.storage !== undefined;
  }
}

/** The current incoming call of this process. */
export const ambient: Ambient = new Ambient();

/**
 * Runs a function outside of the current incoming call. Calls that it makes inherit nothing, and continue when the caller
 * cancels. For work that a handler starts and does not wait for.
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
 *     // The line is written even if the buyer disconnects now.
 *     void detach(() => client.call("Log.write", "sold"));
 *     return "thank you";
 *   },
 * });
 * ```
 *
 * @typeParam R The return type of the function
 * @param fn The function to run, synchronously
 * @returns The return value of `fn`
 */
export function detach<R>(fn: () => R): R {
  return ambient.run(undefined, fn);
}
