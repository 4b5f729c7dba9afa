// Services as typed objects: a Proxy whose methods make calls, and the types that go with it.

import type { Client } from "./client.ts";
import type { CallOptions } from "./options.ts";

/** The methods of a service as its callers see them: the first argument, call options, a promise of the result. */
export type ServiceClient<S> = {
  readonly [M in keyof S as S[M] extends Callable ? M : never]: S[M] extends (...args: infer A) => infer R
    ? CallMethod<A, Awaited<R>>
    : never;
};

// deno-lint-ignore no-explicit-any
type Callable = (...args: any[]) => unknown;

type CallMethod<A extends readonly unknown[], R> = A extends readonly []
  ? (args?: undefined, options?: CallOptions) => Promise<R>
  : undefined extends A[0] ? (args?: A[0], options?: CallOptions) => Promise<R>
  : (args: A[0], options?: CallOptions) => Promise<R>;

/** Makes the typed object of one service. */
export function serviceClient<S>(client: Client, service: string): ServiceClient<S> {
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
