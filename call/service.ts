// The table of registered services: which functions of an object can be called remotely, and their look-up by name. Owned by
// a server, or by a client that answers calls.

import type { Contract } from "./contract.ts";
import type { CallContext, Handler, Method, ServerObserver } from "./handler.ts";
import { type Code, RpcError } from "./error.ts";
import type { Log } from "./log.ts";
import { Latency } from "./latency.ts";
import { MAX_NAME_LENGTH, quoted } from "./method_name.ts";
import { ownLevels } from "./platform.ts";
import { RESERVED } from "./reflection.ts";
import type { MethodStats } from "./method_stats.ts";
import { UnknownMethods } from "./unknown_methods.ts";

/** The functions of a plain object by method name. */
export type Methods = Readonly<Record<string, Handler>>;

/** A handler with its statistics. */
class RegisteredMethod implements Method {
  readonly name: string;
  readonly observer: ServerObserver | undefined;
  readonly #handler: Handler;
  /** The handler, or the interceptors around it. */
  #run: Handler;
  #calls = 0;
  #errors = 0;
  /** Created at the first error. */
  #codes: Map<Code, number> | undefined;
  #inFlight = 0;
  readonly #latency = new Latency();

  constructor(name: string, handler: Handler, observer: ServerObserver | undefined) {
    this.name = name;
    this.observer = observer;
    this.#handler = this.#run = handler;
  }

  /** Wraps the handler, replacing any previous wrapper. */
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

/** Wraps a handler in interceptors. */
export type Around = (handler: Handler) => Handler;

/** The handlers of an object by method name; those of a contract include its checks. */
export type Handlers = Map<string, Handler>;

/** A registered service. */
export interface Service {
  readonly name: string;
  /** The names of its methods, without the service's name. */
  readonly methods: readonly string[];
  readonly contract: Contract | undefined;
}

/** The services of one server. */
export class ServiceTable {
  readonly #services = new Map<string, Service>();
  /** By full name, such as `Arith.sum`: one look-up for each call. */
  readonly #methods = new Map<string, RegisteredMethod>();
  readonly #unknown: UnknownMethods;
  /** Wrapper of every handler, if any. */
  #around: Around | undefined;
  readonly #observe: ((method: string) => ServerObserver) | undefined;

  /**
   * @param log Receives a line about calls of unknown names
   * @param observe Creates the observer of a method's calls; undefined = calls are not observed
   */
  constructor(log?: Log, observe?: (method: string) => ServerObserver) {
    this.#unknown = new UnknownMethods((name) => this.#refusal(name), log);
    this.#observe = observe;
  }

  /** Wraps every handler, replacing any previous wrapper. */
  wrap(around: Around): void {
    this.#around = around;
    for (const method of [...this.#methods.values(), this.#unknown]) method.wrap(around);
  }

  /** The services by name, in the order of registration. */
  get services(): ReadonlyMap<string, Service> {
    return this.#services;
  }

  /** The names of the services, without those of the library. */
  get names(): string[] {
    return [...this.#services.keys()].filter((name) => !name.startsWith(RESERVED));
  }

  /**
   * Registers the methods of an object: all of them, or those of a contract.
   *
   * @param check Wraps the handlers of a contract in its checks
   * @throws {TypeError} If the name is invalid, reserved or registered already, the object has no methods that can be
   *   called, a method takes more than two parameters, or the handlers do not match the contract
   */
  register(name: string, target: object, contract?: Contract, check?: (offered: Handlers) => Handlers): void {
    if (name.startsWith(RESERVED)) {
      throw new TypeError(
        `Cannot register service ${
          quoted(name)
        }: names that begin with "${RESERVED}" are for built-in services`,
      );
    }
    this.#register(name, target, contract, check, this.#observe);
  }

  /** Registers a built-in service, which is neither counted nor observed. */
  registerBuiltIn(contract: Contract, target: object, check: (offered: Handlers) => Handlers): void {
    this.#register(contract.name, target, contract, check);
  }

  #register(
    name: string,
    target: object,
    contract: Contract | undefined,
    check?: (offered: Handlers) => Handlers,
    observe?: (method: string) => ServerObserver,
  ): void {
    if (!isServiceName(name) || name.length > MAX_NAME_LENGTH) {
      throw new TypeError(
        `Cannot register service ${
          quoted(name)
        }: expected a name such as "Arith", of ${MAX_NAME_LENGTH} characters at most`,
      );
    }
    if (this.#services.has(name)) {
      throw new TypeError(`Cannot register service "${name}": it is registered already`);
    }
    let methods = new Map(callable(target));
    for (const [method, { length }] of methods) {
      if (length <= 2 || contract !== undefined && !Object.hasOwn(contract.methods, method)) continue;
      throw new TypeError(
        `Cannot register method "${name}.${method}": it takes ${length} parameters; expected at most two, the argument and ` +
          `the context, such as ({ a, b }, context) => …. Methods whose names begin with _ are not offered`,
      );
    }
    if (check !== undefined) methods = check(methods);
    if (methods.size === 0) {
      throw new TypeError(
        `Cannot register service "${name}": it has no methods that can be called`,
      );
    }
    this.#services.set(name, { name, methods: [...methods.keys()], contract });
    for (const [method, handler] of methods) {
      const fullName = `${name}.${method}`;
      const known = new RegisteredMethod(fullName, handler, observe?.(fullName));
      if (this.#around !== undefined) known.wrap(this.#around);
      this.#methods.set(fullName, known);
    }
  }

  /**
   * Finds a method. Unknown names lead to a placeholder whose calls pass through the interceptors before they are rejected.
   *
   * @param peer The caller
   * @throws {RpcError} `unimplemented`, saying which part of the name is unknown, if there are no interceptors or the name
   *   is reserved
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
      : `Unknown service ${quoted(service)}`;
  }

  /** Calls of unknown names: their number so far, and how many are in flight. */
  get unknown(): Pick<UnknownMethods, "calls" | "inFlight"> {
    return this.#unknown;
  }

  /** Statistics of every method, in the order of registration; without built-in services. */
  stats(): MethodStats[] {
    const methods = [...this.#methods.values()].filter(({ name }) => !name.startsWith(RESERVED));
    return methods.map((method) => method.stats());
  }
}

/** The functions of `target` that can be called remotely: its own and those of its classes, without the platform's. */
function* callable(target: object): Iterable<[string, Handler]> {
  const seen = new Set<string>(["constructor"]);
  for (const level of ownLevels(target)) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (seen.has(name) || name.startsWith("_") || name.startsWith("#") || name.includes(".")) continue;
      seen.add(name);
      // Accessors have no value and are not called.
      const value: unknown = Object.getOwnPropertyDescriptor(level, name)!.value;
      if (typeof value === "function") yield [name, value.bind(target)];
    }
  }
}

function isServiceName(name: string): boolean {
  return /^[\p{ID_Start}$][\p{ID_Continue}$-]*(\.[\p{ID_Start}$][\p{ID_Continue}$-]*)*$/u.test(name);
}

/**
 * The name of an instance's class, under which its methods are registered.
 *
 * @throws {TypeError} If the object has no class
 */
export function className(instance: object): string {
  const { name } = instance.constructor ?? {};
  if (typeof name !== "string" || name === "" || name === "Object") {
    throw new TypeError("Cannot register service: the object has no class, so call register(name, methods)");
  }
  return name;
}
