// Typed services whose methods make calls: a Proxy for a service known only by its type, a plain object for a contract; and
// their types.

import {
  type Contract,
  type ContractMethod,
  isContract,
  isImplicit,
  type MethodKind,
  type StreamsArgs,
  streamsArgs,
  type StreamsResult,
  streamsResult,
} from "./contract.ts";
import { type CallOptions, checkTimeout } from "./call_options.ts";
import { checkOptions } from "./check_options.ts";
import { type Metadata, type MetadataInit, toMetadata } from "./metadata.ts";
import { isAsyncIterable } from "./streamable.ts";

/**
 * The methods of a service as its callers see them: a function of the argument and call options that returns a promise of the
 * result. Excluded are methods that servers do not offer, whose names begin with `_`; methods that stream; and names that
 * JavaScript itself calls: `then`, `toJSON`, and those of every object, such as `toString`. Call these with `call`.
 */
export type ServiceClient<S> = {
  readonly [
    // deno-lint-ignore no-explicit-any -- matches methods with any parameters
    M in keyof S as S[M] extends (...args: any[]) => infer R ? Callable<M, Awaited<R>> : never
  ]: S[M] extends (...args: infer A) => infer R ? ServiceMethod<A, Awaited<R>> : never;
};

/** The name of a method if a typed service has it. Methods that stream need `stream`, or a contract. */
export type Callable<M, R> = R extends AsyncIterable<unknown> | Iterator<unknown> ? never
  : Exclude<M & string, `_${string}` | "then" | "toJSON" | keyof typeof Object.prototype>;

/**
 * One method as its callers see it. The argument is optional if the handler takes none. It is never null, since the handler
 * would receive undefined.
 */
export type ServiceMethod<A extends readonly unknown[], R> = A extends readonly []
  ? (args?: undefined, options?: CallOptions) => Promise<R>
  : undefined extends A[0] ? (args?: Argument<A[0]>, options?: CallOptions) => Promise<R>
  : (args: Argument<A[0]>, options?: CallOptions) => Promise<R>;

/** The argument for a handler that takes `T`: without null, which means that there is no argument. */
export type Argument<T> = unknown extends T ? T : Exclude<T, null>;

/** Defaults for the calls of one typed service. Options of a call take precedence. */
export interface ServiceClientOptions {
  /**
   * Timeout of calls, in ms, from 0; Infinity = no limit. The timeout of a contract's method takes precedence.
   *
   * @default {that of the client}
   */
  timeout?: number;
  /** Metadata of every call. An entry of a call's own metadata replaces the one of the same name. */
  metadata?: MetadataInit;
}

/** The methods of a client that a typed service uses. */
export interface Calls {
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  stream(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** Creates the typed object of one service. */
export function serviceClient<S>(
  client: Pick<Calls, "call">,
  service: string,
  options?: ServiceClientOptions,
): ServiceClient<S> {
  const merged = merger(defaultsOf(options));
  const methods = new Map<string, (args?: unknown, options?: CallOptions) => Promise<unknown>>();
  return new Proxy(Object.freeze({}), {
    get(_, name) {
      if (typeof name !== "string") return undefined;
      if (isImplicit(name)) return Reflect.get(Object.prototype, name);
      let method = methods.get(name);
      if (method === undefined) {
        method = (args, options) => client.call(`${service}.${name}`, args, merged(options));
        methods.set(name, method);
      }
      return method;
    },
  }) as ServiceClient<S>;
}

/**
 * The methods of a contract as its callers see them.
 *
 * @typeParam C The contract's type, such as `typeof Arith`
 */
export type ContractClient<C extends Contract> = {
  readonly [N in keyof C["methods"]]: ContractCall<C["methods"][N]>;
};

/** One method of a contract as its callers see it. An argument that may be undefined is optional. */
export type ContractCall<M> = M extends ContractMethod<infer Kind, infer ArgsIn, infer ResultOut>
  ? Kind extends StreamsArgs ? (
      args: AsyncIterable<ArgsIn> | Iterable<ArgsIn> & object,
      options?: CallOptions,
    ) => CallResult<Kind, ResultOut>
  : undefined extends ArgsIn ? (args?: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : (args: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : never;

/** The return type of a call, by kind of method. */
export type CallResult<Kind extends MethodKind, T> = Kind extends StreamsResult ? AsyncIterableIterator<T>
  : Promise<T>;

/** Creates the typed object of a contract. */
export function contractClient<C extends Contract>(
  client: Calls,
  contract: C,
  options?: ServiceClientOptions,
): ContractClient<C> {
  if (!isContract(contract)) {
    throw new TypeError("Cannot use service: expected its name, or a contract created by defineService");
  }
  const { name, methods } = contract;
  const defaults = defaultsOf(options);
  const functions = Object.entries(methods).map(([key, { kind, idempotent, timeout }]) => {
    const fullName = `${name}.${key}`;
    const merged = merger({
      ...defaults,
      ...timeout === undefined ? {} : { timeout },
      ...idempotent ? { idempotent } : {},
    });
    const items = streamsArgs(kind) ? asStream : (args: unknown) => args;
    return [
      key,
      streamsResult(kind)
        ? (args?: unknown, options?: CallOptions) => client.stream(fullName, items(args), merged(options))
        : (args?: unknown, options?: CallOptions) => client.call(fullName, items(args), merged(options)),
    ];
  });
  return Object.freeze(Object.fromEntries(functions)) as ContractClient<C>;
}

/** Checks the defaults of a service. */
function defaultsOf(options: ServiceClientOptions = {}): CallOptions {
  checkOptions<ServiceClientOptions>("use service", options, { timeout: true, metadata: true });
  const timeout = options.timeout === undefined ? {} : { timeout: checkTimeout(options.timeout) };
  const metadata = toMetadata(options.metadata);
  return { ...timeout, ...metadata === undefined ? {} : { metadata } };
}

/** Returns a function that adds defaults to the options of a call. A call without options costs nothing more. */
function merger(defaults: CallOptions): (options: CallOptions | undefined) => CallOptions | undefined {
  if (Object.keys(defaults).length === 0) return (options) => options;
  return (options) => {
    if (options === undefined) return defaults;
    const merged = { ...defaults, ...options };
    for (const name of Object.keys(defaults) as (keyof CallOptions)[]) {
      if (options[name] === undefined) Object.assign(merged, { [name]: defaults[name] });
    }
    if (defaults.metadata !== undefined && options.metadata !== undefined) {
      merged.metadata = new Map([...defaults.metadata as Metadata, ...toMetadata(options.metadata) ?? []]);
    }
    return merged;
  };
}

/** Converts an iterable, such as an array, to the stream that a contract declares. */
function asStream(args: unknown): unknown {
  if (typeof args !== "object" || args === null || isAsyncIterable(args) || !(Symbol.iterator in args)) {
    return args;
  }
  return itemsOf(args as Iterable<unknown>);
}

async function* itemsOf(items: Iterable<unknown>): AsyncGenerator<unknown, void, undefined> {
  yield* items;
}
