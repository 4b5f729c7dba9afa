// Services as typed objects: a Proxy whose methods make calls, and the types that go with it.

import type { CallOptions } from "./options.ts";

/**
 * The methods of a service as its callers see them: the first argument, call options, a promise of the result. Without
 * those that a server does not offer, whose names begin with `_`, and without `then`, which only `call` can call.
 */
export type ServiceClient<S> = {
  readonly [
    // deno-lint-ignore no-explicit-any -- what a method takes and returns is its own affair
    M in keyof S as S[M] extends (...args: any[]) => unknown ? Exclude<M & string, `_${string}` | "then">
      : never
  ]: S[M] extends (...args: infer A) => infer R ? ServiceMethod<A, Awaited<R>> : never;
};

/** One method as its callers see it: the argument may be left out where the handler takes none. */
export type ServiceMethod<A extends readonly unknown[], R> = A extends readonly []
  ? (args?: undefined, options?: CallOptions) => Promise<R>
  : undefined extends A[0] ? (args?: A[0], options?: CallOptions) => Promise<R>
  : (args: A[0], options?: CallOptions) => Promise<R>;

/** Makes the typed object of one service out of what makes calls. */
export function serviceClient<S>(
  client: { call(method: string, args?: unknown, options?: CallOptions): Promise<unknown> },
  service: string,
): ServiceClient<S> {
  const methods = new Map<string, (args?: unknown, options?: CallOptions) => Promise<unknown>>();
  return new Proxy(Object.freeze({}), {
    get(_, name) {
      // `then` would make the object look like a promise to whoever awaits it.
      if (typeof name !== "string" || name === "then") return undefined;
      let method = methods.get(name);
      if (method === undefined) {
        method = (args, options) => client.call(`${service}.${name}`, args, options);
        methods.set(name, method);
      }
      return method;
    },
  }) as ServiceClient<S>;
}
