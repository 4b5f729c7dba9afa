// From what a user registers to methods by name: which functions of an object may be called from outside, and the
// table that finds them. Owned by a server, or by a client that answers calls.

import type { Contract } from "./contract.ts";
import type { CallContext, Handler, Method, ServerObserver } from "./handler.ts";
import { type Code, RpcError } from "./error.ts";
import type { Log } from "./log.ts";
import { Latency } from "./latency.ts";
import { LONGEST_NAME, quoted } from "./method_name.ts";
import { ownLevels } from "./platform.ts";
import { RESERVED } from "./reflection.ts";
import type { MethodStats } from "./method_stats.ts";
import { UnknownMethods } from "./unknown_methods.ts";

/** The functions of a plain object, by the names that they are called by. */
export type Methods = Readonly<Record<string, Handler>>;

/** A handler and its book-keeping. */
class RegisteredMethod implements Method {
  readonly name: string;
  readonly observer: ServerObserver | undefined;
  readonly #handler: Handler;
  /** The handler, or the interceptors around it. */
  #run: Handler;
  #calls = 0;
  #errors = 0;
  /** Made for the first of them. */
  #codes: Map<Code, number> | undefined;
  #inFlight = 0;
  readonly #latency = new Latency();

  constructor(name: string, handler: Handler, observer: ServerObserver | undefined) {
    this.name = name;
    this.observer = observer;
    this.#handler = this.#run = handler;
  }

  /** Puts something around the handler, in place of what was before. */
  wrap(around: Around): void {
    this.#run = around(this.#handler);
  }

  start(args: unknown, context: CallContext): unknown {
    this.#calls++;
    this.#inFlight++;
    return this.#run(args, context);
  }

  answered(code: Code | undefined, elapsed: number, count: number): void {
    if (code !== undefined) this.#failed(code, count);
    this.#latency.record(elapsed, count);
    this.observer?.answered(code, elapsed, count);
  }

  returned(): void {
    this.#inFlight--;
  }

  stats(): MethodStats {
    return {
      method: this.name,
      calls: this.#calls,
      errors: this.#errors,
      errorCodes: Object.fromEntries(this.#codes ?? []),
      inFlight: this.#inFlight,
      latency: this.#latency.summary(),
    };
  }

  #failed(code: Code, count: number): void {
    this.#errors += count;
    const codes = this.#codes ??= new Map();
    codes.set(code, (codes.get(code) ?? 0) + count);
  }
}

/** Puts interceptors around a handler. */
export type Around = (handler: Handler) => Handler;

/** The handlers of an object, by the names that they are called by; those of a contract between its checks. */
export type Handlers = Map<string, Handler>;

/** A service as it was registered. */
export interface Service {
  readonly name: string;
  /** Its methods, by the names that they have in it. */
  readonly methods: readonly string[];
  readonly contract: Contract | undefined;
}

/** The services of one server. */
export class ServiceTable {
  readonly #services = new Map<string, Service>();
  /** By whole name, such as `Arith.sum`: one look-up a call. */
  readonly #methods = new Map<string, RegisteredMethod>();
  readonly #unknown: UnknownMethods;
  /** Around every handler; undefined while there is nothing. */
  #around: Around | undefined;
  readonly #watch: ((method: string) => ServerObserver) | undefined;

  /**
   * @param log Receives a line about calls of unknown names
   * @param watch Makes who watches the calls of a method; absent = nobody does
   */
  constructor(log?: Log, watch?: (method: string) => ServerObserver) {
    this.#unknown = new UnknownMethods((name) => this.#refusal(name), log);
    this.#watch = watch;
  }

  /** Puts something around every handler, in place of what was before. */
  wrap(around: Around): void {
    this.#around = around;
    for (const method of [...this.#methods.values(), this.#unknown]) method.wrap(around);
  }

  /** The services by name, in the order in which they were registered. */
  get services(): ReadonlyMap<string, Service> {
    return this.#services;
  }

  /** The names of the services, without those of the library. */
  get names(): string[] {
    return [...this.#services.keys()].filter((name) => !name.startsWith(RESERVED));
  }

  /**
   * Registers the methods of an object: all, or those of a contract.
   *
   * @param check Puts the handlers of a contract between its checks
   * @throws {TypeError} If the name is invalid, is taken or reserved, nothing of the object can be called, a method takes
   *   more than two parameters, or the contract is not kept
   */
  register(name: string, target: object, contract?: Contract, check?: (offered: Handlers) => Handlers): void {
    if (name.startsWith(RESERVED)) {
      throw new TypeError(
        `Cannot register service ${
          quoted(name)
        }: names that begin with "${RESERVED}" are for built-in services`,
      );
    }
    this.#register(name, target, contract, check, this.#watch);
  }

  /** Registers a service of the library's own, which its figures leave out and nobody watches. */
  registerBuiltIn(contract: Contract, target: object, check: (offered: Handlers) => Handlers): void {
    this.#register(contract.name, target, contract, check);
  }

  #register(
    name: string,
    target: object,
    contract: Contract | undefined,
    check?: (offered: Handlers) => Handlers,
    watch?: (method: string) => ServerObserver,
  ): void {
    if (!isServiceName(name) || name.length > LONGEST_NAME) {
      throw new TypeError(
        `Cannot register service ${
          quoted(name)
        }: expected a name such as "Arith", of ${LONGEST_NAME} characters at most`,
      );
    }
    if (this.#services.has(name)) {
      throw new TypeError(`Cannot register service "${name}": it is registered already`);
    }
    let methods = new Map(callable(target));
    for (const [method, { length }] of methods) {
      if (length <= 2 || contract !== undefined && !Object.hasOwn(contract.methods, method)) continue;
      throw new TypeError(
        `Cannot register method "${name}.${method}": it takes ${length} arguments, and a handler one and the context, ` +
          `such as ({ a, b }, context) => …; a name that begins with _ is not offered`,
      );
    }
    if (check !== undefined) methods = check(methods);
    if (methods.size === 0) {
      throw new TypeError(
        `Cannot register service "${name}": it has no methods that can be called from outside`,
      );
    }
    this.#services.set(name, { name, methods: [...methods.keys()], contract });
    for (const [method, handler] of methods) {
      const whole = `${name}.${method}`;
      const known = new RegisteredMethod(whole, handler, watch?.(whole));
      if (this.#around !== undefined) known.wrap(this.#around);
      this.#methods.set(whole, known);
    }
  }

  /**
   * Finds a method. Names that are unknown lead to one whose calls are refused by way of the interceptors.
   *
   * @param peer Who calls
   * @throws {RpcError} `unimplemented`, saying which part of the name is unknown, if there are no interceptors, or the
   *   name is reserved
   */
  find(name: string, peer?: { readonly address: string }): Method {
    const method = this.#methods.get(name);
    if (method !== undefined) return method;
    if (name.startsWith(RESERVED)) throw this.#refusal(name);
    return this.#unknown.find(name, peer?.address);
  }

  #refusal(name: string): RpcError {
    return new RpcError("unimplemented", this.#whyUnknown(name), { notStarted: true });
  }

  #whyUnknown(name: string): string {
    const dot = name.lastIndexOf(".");
    if (dot < 1 || dot === name.length - 1) {
      return `Cannot call ${quoted(name)}: expected a name of the form Service.method`;
    }
    const service = name.slice(0, dot);
    return this.#services.has(service)
      ? `Service "${service}" has no method ${quoted(name.slice(dot + 1))}`
      : `There is no service ${quoted(service)}`;
  }

  /** Calls of unknown names: how many so far, and how many of them are in flight. */
  get unknown(): Pick<UnknownMethods, "calls" | "inFlight"> {
    return this.#unknown;
  }

  /** What every method has done, in the order in which they were registered; built-in ones are not counted. */
  stats(): MethodStats[] {
    const methods = [...this.#methods.values()].filter(({ name }) => !name.startsWith(RESERVED));
    return methods.map((method) => method.stats());
  }
}

/** The functions of `target` that may be called from outside: its own, and those of its classes but the platform's. */
function* callable(target: object): Iterable<[string, Handler]> {
  const seen = new Set<string>(["constructor"]);
  for (const level of ownLevels(target)) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (seen.has(name) || name.startsWith("_") || name.startsWith("#") || name.includes(".")) continue;
      seen.add(name);
      // Of accessors there is no value, and they are not run.
      const value: unknown = Object.getOwnPropertyDescriptor(level, name)!.value;
      if (typeof value === "function") yield [name, value.bind(target)];
    }
  }
}

function isServiceName(name: string): boolean {
  return /^[\p{ID_Start}$][\p{ID_Continue}$-]*(\.[\p{ID_Start}$][\p{ID_Continue}$-]*)*$/u.test(name);
}
