// Contracts: a service described once, for the server that answers it and the clients that call it. Here is what a
// contract is; what a server makes of one is in server/contract_methods.ts, what a client does in client/typed.ts.

import { checkOptions } from "./check_options.ts";
import type { StandardSchema } from "./standard_schema.ts";

/**
 * What a method takes and gives: a `call` one value for one value, a `serverStream` a stream for one value, a
 * `clientStream` one value for a stream, a `conversation` a stream for a stream.
 */
export type MethodKind = "call" | "serverStream" | "clientStream" | "conversation";

const KINDS: readonly MethodKind[] = ["call", "serverStream", "clientStream", "conversation"];

/** The kinds whose arguments are a stream. */
export type StreamsArgs = "clientStream" | "conversation";

/** The kinds whose result is a stream. */
export type StreamsResult = "serverStream" | "conversation";

/** Schemas of a method; what has none is not checked. Of a stream, it is each item that is checked. */
export interface StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn> {
  /**
   * What the server checks arguments with: callers pass what it takes, the handler gets what it makes of that. An
   * argument that is left out is undefined, as is one that is null.
   */
  args?: StandardSchema<ArgsIn, ArgsOut>;
  /** What the server checks results with: the handler returns what it takes, callers get what it makes of that. */
  result?: StandardSchema<ResultIn, ResultOut>;
}

/** Schemas of a method, and how it may be called. */
export interface MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>
  extends StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn> {
  /**
   * Whether calls may be executed more than once: the default of `CallOptions.idempotent` for this method.
   *
   * @default {readOnly}
   */
  idempotent?: boolean;
  /**
   * Whether calls change nothing, so that they may be made by HTTP GET, cached and made again: see `web`.
   *
   * @default {false}
   */
  readOnly?: boolean;
}

/**
 * One method of a {@linkcode Contract}. Made by {@linkcode method}.
 *
 * @typeParam Kind What is a stream
 * @typeParam ArgsIn What callers pass; of a stream, each item
 * @typeParam ResultOut What callers get; of a stream, each item
 * @typeParam ArgsOut What the handler gets
 * @typeParam ResultIn What the handler returns
 */
export interface ContractMethod<
  Kind extends MethodKind = MethodKind,
  ArgsIn = unknown,
  ResultOut = unknown,
  ArgsOut = unknown,
  ResultIn = unknown,
> {
  /** What is a stream. */
  readonly kind: Kind;
  /** What arguments are checked with, if they are. */
  readonly args: StandardSchema<ArgsIn, ArgsOut> | undefined;
  /** What results are checked with, if they are. */
  readonly result: StandardSchema<ResultIn, ResultOut> | undefined;
  /** Whether calls may be executed more than once. */
  readonly idempotent: boolean;
  /** Whether calls change nothing. */
  readonly readOnly: boolean;
}

/** The methods of a contract by name. */
export type ContractMethods = Readonly<Record<string, AnyMethod>>;

/** Any {@linkcode ContractMethod}. It says nothing of types, so that the compiler takes none from it. */
export interface AnyMethod {
  /** What is a stream. */
  readonly kind: MethodKind;
  /** What arguments are checked with, if they are. */
  readonly args: { readonly "~standard": object } | undefined;
  /** What results are checked with, if they are. */
  readonly result: { readonly "~standard": object } | undefined;
  /** Whether calls may be executed more than once. */
  readonly idempotent: boolean;
  /** Whether calls change nothing. */
  readonly readOnly: boolean;
}

/**
 * A service as server and clients agree on it. Made by {@linkcode defineService}.
 *
 * @typeParam Methods Its methods
 */
export interface Contract<Methods extends ContractMethods = Readonly<Record<string, ContractMethod>>> {
  /** The service's name, such as `Arith`. */
  readonly name: string;
  /** What it offers. */
  readonly methods: Readonly<Methods>;
}

/**
 * Describes the methods of a contract, by types alone or by schemas.
 *
 * The first two type parameters are the argument and the result, `void` where there is none. They need not be written
 * where schemas say the same; with both, the schemas must fit the types. Two more are what the handler sees, where a
 * schema changes what it checks.
 */
export interface DefineMethod {
  /** One value for one value. */
  <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ): ContractMethod<"call", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** A stream for one value; `ResultOut` and `result` are of each item. */
  readonly serverStream: <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ) => ContractMethod<"serverStream", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** One value for a stream; `ArgsIn` and `args` are of each item. */
  readonly clientStream: <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ) => ContractMethod<"clientStream", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** A stream for a stream; types and schemas are of each item. */
  readonly conversation: <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ) => ContractMethod<"conversation", ArgsIn, ResultOut, ArgsOut, ResultIn>;
}

/**
 * Describes a method for {@linkcode defineService}.
 *
 * @example Types only, and with schemas
 * ```ts
 * import { defineService, method, unchecked } from "@troodon/rpc";
 * import { z } from "npm:zod@4.6.7";
 *
 * const Users = defineService("Users", {
 *   count: method<void, number>({ idempotent: true }),
 *   rename: method({ args: z.object({ id: z.int(), name: z.string().min(1) }) }),
 *   find: method({ args: z.object({ id: z.int() }), result: unchecked<{ name: string }>() }),
 *   follow: method.serverStream<{ id: number }, { event: string }>(),
 *   upload: method.clientStream<Uint8Array, { bytes: number }>(),
 *   chat: method.conversation<string, string>(),
 * });
 * ```
 */
export const method: DefineMethod = Object.freeze(Object.assign(describe("call"), {
  serverStream: describe("serverStream"),
  clientStream: describe("clientStream"),
  conversation: describe("conversation"),
}));

function describe<Kind extends MethodKind>(kind: Kind) {
  return <ArgsIn, ResultOut, ArgsOut, ResultIn>(
    options: MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn> = {},
  ): ContractMethod<Kind, ArgsIn, ResultOut, ArgsOut, ResultIn> => {
    checkOptions<typeof options>("define method", options, {
      args: true,
      result: true,
      idempotent: true,
      readOnly: true,
    });
    const { args, result, readOnly = false, idempotent = readOnly } = options;
    for (const [name, schema] of Object.entries({ args, result })) {
      if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function") {
        throw new TypeError(`Cannot use ${name}: expected a Standard Schema`);
      }
    }
    return Object.freeze({ kind, args, result, idempotent, readOnly });
  };
}

const UNCHECKED: StandardSchema<never> = Object.freeze({
  "~standard": Object.freeze({
    version: 1,
    vendor: "troodon",
    validate: (value: unknown) => ({ value: value as never }),
  }),
});

/**
 * A schema that is a type and nothing else: it lets everything through. For methods of which only the argument, or only
 * the result, is to be checked.
 *
 * @typeParam T What callers and handlers take it for
 */
export function unchecked<T>(): StandardSchema<T> {
  return UNCHECKED;
}

/** Whether a schema is one of those that let everything through. */
export function isUnchecked(schema: StandardSchema): boolean {
  return schema === UNCHECKED;
}

/**
 * Describes a service once, for both sides: `server.register(contract, handlers)` checks that every method has its
 * handler, and what has a schema at every call; `client.service(contract)` makes the calls.
 *
 * Arguments that do not fit their schema are refused with `invalid_argument`, whose details are
 * `{ issues: [{ message, path }] }`; the handler does not see them. A result that does not fit fails with `internal`,
 * and the server's log is told why.
 *
 * @example
 * ```ts
 * import { connect, defineService, method, RpcError, Server } from "@troodon/rpc";
 * import { z } from "npm:zod@4.6.7";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const Arith = defineService("Arith", {
 *   sum: method<{ a: number; b: number }, number>(),
 *   divide: method({ args: z.object({ a: z.number(), b: z.number().positive() }), result: z.number() }),
 * });
 *
 * await using server = new Server().register(Arith, {
 *   sum: ({ a, b }) => a + b,
 *   divide: ({ a, b }) => a / b,
 * });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address);
 * const arith = client.service(Arith);
 * assertEquals(await arith.sum({ a: 1, b: 2 }), 3);
 * await assertRejects(() => arith.divide({ a: 1, b: 0 }), RpcError, "at b: ");
 * ```
 *
 * @param name The service's name, such as `Arith`; may have dots
 * @param methods Its methods, each made by {@linkcode method}
 * @throws {TypeError} If the name is none, or a method cannot be offered
 */
export function defineService<Methods extends ContractMethods>(
  name: string,
  methods: Methods,
): Contract<Methods> {
  if (typeof name !== "string" || name === "") {
    throw new TypeError('Cannot define service: expected a name such as "Arith"');
  }
  const entries = Object.entries(methods);
  if (entries.length === 0) throw new TypeError(`Cannot define service "${name}": it has no methods`);
  for (const [key, value] of entries) {
    if (/^$|^[_#]|\./.test(key) || isImplicit(key)) {
      throw new TypeError(
        `Cannot define method ${JSON.stringify(key)} of "${name}": it cannot have that name`,
      );
    }
    if (!KINDS.includes(value?.kind)) {
      throw new TypeError(`Cannot define method "${key}" of "${name}": expected what method() returns`);
    }
  }
  return Object.freeze({ name, methods: Object.freeze({ ...methods }) });
}

/**
 * Whether JavaScript itself calls a method of this name, of any object: to await it, or to turn it into JSON or text. A
 * client's object has none of these, or logging it would make calls.
 */
export function isImplicit(name: string): boolean {
  return name === "then" || name === "toJSON" || name in Object.prototype;
}

/** Whether `value` is a contract; what has a class of its own is none. */
export function isContract(value: unknown): value is Contract {
  if (typeof value !== "object" || value === null) return false;
  const { name, methods } = value as Partial<Contract>;
  return Object.getPrototypeOf(value) === Object.prototype && typeof name === "string" &&
    typeof methods === "object" && methods !== null;
}

/** Whether the arguments of a kind are a stream. */
export function streamsArgs(kind: MethodKind): kind is StreamsArgs {
  return kind === "clientStream" || kind === "conversation";
}

/** Whether the result of a kind is a stream. */
export function streamsResult(kind: MethodKind): kind is StreamsResult {
  return kind === "serverStream" || kind === "conversation";
}
