// Contracts: a service described once, for the server that implements it and the clients that call it. Servers use them
// through contract_methods.ts, clients through typed.ts.

import { checkTimeout } from "./call_options.ts";
import { checkOptions } from "./check_options.ts";
import type { StandardSchema } from "./standard_schema.ts";

/**
 * Which side of a method streams: `call` takes one value and returns one, `serverStream` returns a stream for one value,
 * `clientStream` returns one value for a stream, `conversation` returns a stream for a stream.
 */
export type MethodKind = "call" | "serverStream" | "clientStream" | "conversation";

const KINDS: readonly MethodKind[] = ["call", "serverStream", "clientStream", "conversation"];

/** The kinds with a stream of arguments. */
export type StreamsArgs = "clientStream" | "conversation";

/** The kinds with a stream of results. */
export type StreamsResult = "serverStream" | "conversation";

/** Schemas and timeout of a method. Values without a schema are not checked. For a stream, the schema applies to each item. */
export interface StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn> {
  /**
   * Schema that the server checks arguments with: callers pass its input type, the handler receives its output type. An
   * argument that is omitted or null is undefined.
   */
  args?: StandardSchema<ArgsIn, ArgsOut>;
  /** Schema that the server checks results with: the handler returns its input type, callers receive its output type. */
  result?: StandardSchema<ResultIn, ResultOut>;
  /**
   * Default of `CallOptions.timeout` for this method, in ms; Infinity for streams without an end.
   *
   * @default {that of `client.service`, otherwise that of the client}
   */
  timeout?: number;
}

/** Schemas and timeout of a method, and whether it is idempotent. */
export interface MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>
  extends StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn> {
  /**
   * Whether calls may be executed more than once. Default of `CallOptions.idempotent` for this method.
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
 * One method of a {@linkcode Contract}, created by {@linkcode method}.
 *
 * @typeParam Kind Which side streams
 * @typeParam ArgsIn The argument that callers pass; for a stream, each item
 * @typeParam ResultOut The result that callers receive; for a stream, each item
 * @typeParam ArgsOut The argument that the handler receives
 * @typeParam ResultIn The result that the handler returns
 */
export interface ContractMethod<
  Kind extends MethodKind = MethodKind,
  ArgsIn = unknown,
  ResultOut = unknown,
  ArgsOut = unknown,
  ResultIn = unknown,
> {
  /** Which side streams. */
  readonly kind: Kind;
  /** Schema of the arguments, if any. */
  readonly args: StandardSchema<ArgsIn, ArgsOut> | undefined;
  /** Schema of the results, if any. */
  readonly result: StandardSchema<ResultIn, ResultOut> | undefined;
  /** Whether calls may be executed more than once. */
  readonly idempotent: boolean;
  /** Timeout of calls that set none, in ms, if the contract has one. */
  readonly timeout: number | undefined;
  /** Whether calls change nothing. */
  readonly readOnly: boolean;
}

/** The methods of a contract by name. */
export type ContractMethods = Readonly<Record<string, AnyMethod>>;

/** Any {@linkcode ContractMethod}. Declared without type parameters, so that the compiler infers nothing from it. */
export interface AnyMethod {
  /** Which side streams. */
  readonly kind: MethodKind;
  /** Schema of the arguments, if any. */
  readonly args: { readonly "~standard": object } | undefined;
  /** Schema of the results, if any. */
  readonly result: { readonly "~standard": object } | undefined;
  /** Whether calls may be executed more than once. */
  readonly idempotent: boolean;
  /** Timeout of calls that set none, in ms, if the contract has one. */
  readonly timeout: number | undefined;
  /** Whether calls change nothing. */
  readonly readOnly: boolean;
}

/**
 * A service that a server and its clients agree on, created by {@linkcode defineService}.
 *
 * @typeParam Methods The methods by name
 */
export interface Contract<Methods extends ContractMethods = Readonly<Record<string, ContractMethod>>> {
  /** The service's name, such as `Arith`. */
  readonly name: string;
  /** The methods by name. */
  readonly methods: Readonly<Methods>;
}

/**
 * Describes the methods of a contract, by types alone or by schemas.
 *
 * The first two type parameters are the argument and the result, `void` if absent. They can be omitted if schemas define
 * them; with both, the schemas must fit the types. The other two are the types that the handler sees, for schemas that
 * transform values.
 */
export interface DefineMethod {
  /** Takes one value, returns one value. */
  <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ): ContractMethod<"call", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** Takes one value, returns a stream; `ResultOut` and `result` apply to each item. */
  readonly serverStream: <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: MethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ) => ContractMethod<"serverStream", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** Takes a stream, returns one value; `ArgsIn` and `args` apply to each item. */
  readonly clientStream: <ArgsIn = void, ResultOut = void, ArgsOut = ArgsIn, ResultIn = ResultOut>(
    options?: StreamMethodOptions<ArgsIn, ResultOut, ArgsOut, ResultIn>,
  ) => ContractMethod<"clientStream", ArgsIn, ResultOut, ArgsOut, ResultIn>;
  /** Takes a stream, returns a stream; types and schemas apply to each item. */
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
 *   follow: method.serverStream<{ id: number }, { event: string }>({ timeout: Infinity }),
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
      timeout: true,
    });
    const { args, result, readOnly = false, idempotent = readOnly, timeout } = options;
    if (timeout !== undefined) checkTimeout(timeout);
    for (const [name, schema] of Object.entries({ args, result })) {
      if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function") {
        throw new TypeError(`Cannot use ${name}: expected a Standard Schema`);
      }
    }
    return Object.freeze({ kind, args, result, idempotent, readOnly, timeout });
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
 * Creates a schema that declares a type and accepts every value. For methods that check only the argument or only the
 * result.
 *
 * @typeParam T The declared type
 */
export function unchecked<T>(): StandardSchema<T> {
  return UNCHECKED;
}

/** Whether a schema was created by {@linkcode unchecked}. */
export function isUnchecked(schema: StandardSchema): boolean {
  return schema === UNCHECKED;
}

/**
 * Defines a service once, for both sides. `server.register(contract, handlers)` checks that every method has a handler, and
 * validates arguments and results that have a schema at every call. `client.service(contract)` makes the calls.
 *
 * Arguments that do not fit their schema are rejected with `invalid_argument`, whose details are
 * `{ issues: [{ message, path }] }`; the handler is not called. A result that does not fit fails the call with `internal`,
 * and the server logs the reason.
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
 * @param name The service's name, such as `Arith`; may contain dots
 * @param methods The methods by name, each created by {@linkcode method}
 * @throws {TypeError} If the name is invalid, or a method's name or value is invalid
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
        `Cannot define method ${JSON.stringify(key)} of "${name}": the name is reserved or invalid`,
      );
    }
    if (!KINDS.includes(value?.kind)) {
      throw new TypeError(`Cannot define method "${key}" of "${name}": expected the result of method()`);
    }
  }
  return Object.freeze({ name, methods: Object.freeze({ ...methods }) });
}

/**
 * Whether JavaScript itself calls a method of this name on any object, to await it or to convert it to JSON or text. A
 * client's typed service has none of these; otherwise logging it would make calls.
 */
export function isImplicit(name: string): boolean {
  return name === "then" || name === "toJSON" || name in Object.prototype;
}

/** Whether `value` is a contract. Instances of classes are not. */
export function isContract(value: unknown): value is Contract {
  if (typeof value !== "object" || value === null) return false;
  const { name, methods } = value as Partial<Contract>;
  return Object.getPrototypeOf(value) === Object.prototype && typeof name === "string" &&
    typeof methods === "object" && methods !== null;
}

/** Whether a kind has a stream of arguments. */
export function streamsArgs(kind: MethodKind): kind is StreamsArgs {
  return kind === "clientStream" || kind === "conversation";
}

/** Whether a kind has a stream of results. */
export function streamsResult(kind: MethodKind): kind is StreamsResult {
  return kind === "serverStream" || kind === "conversation";
}
