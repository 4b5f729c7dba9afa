// Typed services whose methods make calls: a Proxy for a service known only by its type, a plain object for a contract; and
// their types.

import {
  type Contract,
  type ContractMethod,
  isContract,
  isImplicit,
  type MethodKind,
  type StreamsArgs,
  type StreamsResult,
  streamsResult,
} from "./contract.ts";
import type { CallOptions } from "./call_options.ts";

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

/** The methods of a client that a typed service uses. */
export interface Calls {
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  stream(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** Creates the typed object of one service. */
export function serviceClient<S>(
  client: Pick<Calls, "call">,
  service: string,
): ServiceClient<S> {
  const methods = new Map<string, (args?: unknown, options?: CallOptions) => Promise<unknown>>();
  return new Proxy(Object.freeze({}), {
    get(_, name) {
      if (typeof name !== "string") return undefined;
      if (isImplicit(name)) return Reflect.get(Object.prototype, name);
      let method = methods.get(name);
      if (method === undefined) {
        method = (args, options) => client.call(`${service}.${name}`, args, options);
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
  ? Kind extends StreamsArgs
    ? (args: AsyncIterable<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : undefined extends ArgsIn ? (args?: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : (args: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : never;

/** The return type of a call, by kind of method. */
export type CallResult<Kind extends MethodKind, T> = Kind extends StreamsResult ? AsyncIterableIterator<T>
  : Promise<T>;

/** Creates the typed object of a contract. */
export function contractClient<C extends Contract>(client: Calls, contract: C): ContractClient<C> {
  if (!isContract(contract)) {
    throw new TypeError("Cannot use service: expected its name, or a contract created by defineService");
  }
  const { name, methods } = contract;
  const functions = Object.entries(methods).map(([key, { kind, idempotent }]) => {
    const fullName = `${name}.${key}`;
    const withDefaults = (options?: CallOptions) => {
      return idempotent ? { ...options, idempotent: options?.idempotent ?? true } : options;
    };
    return [
      key,
      streamsResult(kind)
        ? (args?: unknown, options?: CallOptions) => client.stream(fullName, args, withDefaults(options))
        : (args?: unknown, options?: CallOptions) => client.call(fullName, args, withDefaults(options)),
    ];
  });
  return Object.freeze(Object.fromEntries(functions)) as ContractClient<C>;
}
