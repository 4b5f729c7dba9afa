// Services as typed objects whose methods make calls: a Proxy where only the type is known, a plain object where there
// is a contract; and the types that go with them.

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
 * The methods of a service as its callers see them: the first argument, call options, a promise of the result. Without
 * those that a server does not offer, whose names begin with `_`, without methods that stream, and without names that
 * JavaScript itself calls: `then`, `toJSON`, and those that every object has, such as `toString`. Only `call` can call
 * these.
 */
export type ServiceClient<S> = {
  readonly [
    // deno-lint-ignore no-explicit-any -- what a method takes and returns is its own affair
    M in keyof S as S[M] extends (...args: any[]) => infer R ? Callable<M, Awaited<R>> : never
  ]: S[M] extends (...args: infer A) => infer R ? ServiceMethod<A, Awaited<R>> : never;
};

/** The name of a method if it can be called through a typed service: one that streams needs `stream`, or a contract. */
export type Callable<M, R> = R extends AsyncIterable<unknown> | Iterator<unknown> ? never
  : Exclude<M & string, `_${string}` | "then" | "toJSON" | keyof typeof Object.prototype>;

/**
 * One method as its callers see it: the argument may be left out where the handler takes none. It is never null, since
 * the handler would get undefined.
 */
export type ServiceMethod<A extends readonly unknown[], R> = A extends readonly []
  ? (args?: undefined, options?: CallOptions) => Promise<R>
  : undefined extends A[0] ? (args?: Argument<A[0]>, options?: CallOptions) => Promise<R>
  : (args: Argument<A[0]>, options?: CallOptions) => Promise<R>;

/** What may be passed where a handler takes `T`: not null, which means that there is no argument. */
export type Argument<T> = unknown extends T ? T : Exclude<T, null>;

/** What makes calls, as much of a client as a service needs. */
export interface Calls {
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  stream(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** Makes the typed object of one service out of what makes calls. */
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

/** One method of a contract as its callers see it: an argument that may be undefined may be left out. */
export type ContractCall<M> = M extends ContractMethod<infer Kind, infer ArgsIn, infer ResultOut>
  ? Kind extends StreamsArgs
    ? (args: AsyncIterable<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : undefined extends ArgsIn ? (args?: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : (args: Argument<ArgsIn>, options?: CallOptions) => CallResult<Kind, ResultOut>
  : never;

/** What calling a kind of method returns. */
export type CallResult<Kind extends MethodKind, T> = Kind extends StreamsResult ? AsyncIterableIterator<T>
  : Promise<T>;

/** Makes the functions of a contract out of what makes calls. */
export function contractClient<C extends Contract>(client: Calls, contract: C): ContractClient<C> {
  if (!isContract(contract)) {
    throw new TypeError("Cannot use service: expected its name, or the contract that defineService returned");
  }
  const { name, methods } = contract;
  const functions = Object.entries(methods).map(([key, { kind, idempotent }]) => {
    const whole = `${name}.${key}`;
    const terms = (options?: CallOptions) => {
      return idempotent ? { ...options, idempotent: options?.idempotent ?? true } : options;
    };
    return [
      key,
      streamsResult(kind)
        ? (args?: unknown, options?: CallOptions) => client.stream(whole, args, terms(options))
        : (args?: unknown, options?: CallOptions) => client.call(whole, args, terms(options)),
    ];
  });
  return Object.freeze(Object.fromEntries(functions)) as ContractClient<C>;
}
