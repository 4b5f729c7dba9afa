// Wraps the handlers of a contract in the schema checks of its methods. Called by the service table; handlers of methods
// without a schema are not wrapped in checks.

import {
  type Contract,
  type ContractMethod,
  isUnchecked,
  type MethodKind,
  type StreamsArgs,
  streamsArgs,
  type StreamsResult,
  streamsResult,
} from "./contract.ts";
import type { CallContext, Handler } from "./handler.ts";
import { RpcError } from "./error.ts";
import type { Log } from "./log.ts";
import { Items } from "./source.ts";
import type { StandardResult, StandardSchema } from "./standard_schema.ts";
import { isPlainObject } from "./cross_realm.ts";
import { isAsyncIterable, isStreamable, type Streamable } from "./streamable.ts";
import { isThenable } from "./thenable.ts";
import { type Issue, issuesOf, textOfIssues } from "./schema_issues.ts";

/**
 * The handlers of a contract by name, as `server.register` takes them. For a class to implement, or for handlers that are
 * declared separately.
 *
 * @typeParam C The contract's type, such as `typeof Arith`
 */
export type ContractHandlers<C extends Contract> = {
  readonly [N in keyof C["methods"]]: ContractHandler<C["methods"][N]>;
};

/**
 * The handlers that `server.register` takes for a service: for a contract, one for each method; for a name, an object with
 * methods.
 *
 * @typeParam S A contract's type, or `string`
 * @typeParam M The type of the object with methods
 */
export type ServiceHandlers<S extends string | Contract, M extends object = object> = S extends Contract
  ? ContractHandlers<S>
  : M & CheckedMethods<M>;

/**
 * Constraint on the methods of an object, which must be usable as handlers. A method that is not has a text as its type,
 * which the compiler shows. Objects that inherit from classes of the platform are not checked, since the compiler does not
 * know which of their methods are excluded.
 *
 * @typeParam M The type of the object
 */
export type CheckedMethods<M> = M extends PlatformObject ? unknown
  : { readonly [N in keyof M]: N extends `_${string}` ? unknown : CheckedMethod<M[N]> };

/**
 * A method if it can be a handler, otherwise a text with the reason.
 *
 * @typeParam F The type of a property
 */
export type CheckedMethod<F> = F extends (...args: infer P) => unknown
  ? AcceptsNull<P[0]> extends true ? "A handler's argument is never null: an omitted argument is undefined"
    // deno-lint-ignore no-explicit-any -- the handler declares the type of its argument
  : F extends (args: any, context: CallContext) => unknown ? unknown
  : "A handler takes one argument and the context: put more values into an object, ({ a, b }, context) => …"
  : unknown;

/** Whether `T` includes null. Without `strictNullChecks` every type does. */
export type AcceptsNull<T> = unknown extends T ? false
  : null extends string ? false
  : null extends T ? true
  : false;

/** Collections, streams, event targets and emitters, and asynchronous resources of the platform. */
export type PlatformObject =
  | Iterable<unknown>
  | AsyncIterable<unknown>
  | { readonly addEventListener: unknown }
  | { readonly emit: unknown; readonly on: unknown }
  | { readonly runInAsyncScope: unknown };

/** The handler of one method of a contract. */
export type ContractHandler<M> = M extends
  ContractMethod<infer Kind, unknown, unknown, infer ArgsOut, infer ResultIn>
  ? (args: HandlerArgs<Kind, ArgsOut>, context: CallContext) => HandlerResult<Kind, ResultIn>
  : never;

/** The argument of a handler, by kind of method. */
export type HandlerArgs<Kind extends MethodKind, T> = Kind extends StreamsArgs ? AsyncIterable<T> : T;

/** The return type of a handler, by kind of method. */
export type HandlerResult<Kind extends MethodKind, T> = Kind extends StreamsResult
  ? AsyncIterable<T> | Iterable<T> | Promise<AsyncIterable<T> | Iterable<T>>
  : T | Promise<T>;

/** Returns the output of a schema for a value, or a promise of it. Throws or rejects if the value does not fit. */
type Check = (value: unknown) => unknown;

/** Wraps the handlers that a service table found on an object in the checks of a contract. */
export function contractCheck(
  contract: Contract,
  target: object,
  log?: Log,
): (offered: ReadonlyMap<string, Handler>) => Map<string, Handler> {
  return (offered) => contractHandlers(contract, offered, isPlainObject(target), log);
}

/**
 * Matches handlers with the methods of a contract and wraps them in checks.
 *
 * @param offered The handlers of the user's object
 * @param exact Whether handlers without a method are an error
 * @param log Receives details that callers do not: results that do not fit, and schemas that throw
 * @throws {TypeError} If a method has no handler, or a handler has no method
 */
function contractHandlers(
  { name, methods }: Contract,
  offered: ReadonlyMap<string, Handler>,
  exact: boolean,
  log?: Log,
): Map<string, Handler> {
  const handlers = new Map<string, Handler>();
  for (const [key, method] of Object.entries(methods)) {
    const handler = offered.get(key);
    if (handler === undefined) {
      throw new TypeError(`Cannot register service "${name}": method "${key}" has no handler`);
    }
    handlers.set(key, checked(`${name}.${key}`, method, handler, log));
  }
  for (const key of exact ? offered.keys() : []) {
    if (!handlers.has(key)) {
      throw new TypeError(`Cannot register service "${name}": its contract has no method "${key}"`);
    }
  }
  return handlers;
}

function checked(fullName: string, method: ContractMethod, handler: Handler, log?: Log): Handler {
  const args = argsCheck(fullName, method, log);
  const result = resultCheck(fullName, method, log);
  return (input, context) => {
    const checkedArgs = args(input);
    const answer = isThenable(checkedArgs)
      ? Promise.resolve(checkedArgs).then((value) => {
        // The caller may have canceled meanwhile.
        context.signal.throwIfAborted();
        return handler(value, context);
      })
      : handler(checkedArgs, context);
    return result === undefined ? answer : andThen(answer, result);
  };
}

function argsCheck(fullName: string, { kind, args: schema }: ContractMethod, log?: Log): Check {
  const streams = streamsArgs(kind);
  const what = `${streams ? "an item of the arguments" : "the arguments"} of ${fullName}`;
  const check = schemaCheck(schema, what, log, (issues) => {
    const message = `Cannot accept ${what}: ${textOfIssues(issues)}`;
    return new RpcError("invalid_argument", message, { details: { issues } });
  });
  return (args) => {
    if (isAsyncIterable(args) !== streams) {
      const takes = streams ? "a stream, not one value" : "one value, not a stream";
      throw new RpcError("invalid_argument", `${fullName} takes ${takes}`);
    }
    if (check === undefined) return args;
    return isAsyncIterable(args) ? new Items(args, { check }) : check(args);
  };
}

function resultCheck(
  fullName: string,
  { kind, result: schema }: ContractMethod,
  log?: Log,
): Check | undefined {
  const streams = streamsResult(kind);
  const what = `${streams ? "an item of the result" : "the result"} of ${fullName}`;
  // A handler's result may be private, so the details go to the log and not to the caller.
  const refuse = (why: string, details?: unknown) => {
    log?.(`Cannot send ${what}: ${why}`, details);
    return new RpcError("internal", `Cannot send ${what}: it does not match the service's contract`);
  };
  const check = schemaCheck(schema, what, log, (issues) => refuse(textOfIssues(issues), issues));
  if (!streams) return check;
  return (result) => {
    const items = streamOf(result);
    if (items === undefined) throw refuse("the handler did not return a stream");
    return check === undefined ? items : new Items(items, { check });
  };
}

/**
 * Creates the check of a schema; undefined if there is nothing to check. An exception in the schema itself is always the
 * server's fault (`internal`).
 *
 * @param what The value's description for messages
 * @param refusal Creates the error for a value that does not fit
 */
function schemaCheck(
  schema: StandardSchema | undefined,
  what: string,
  log: Log | undefined,
  refusal: (issues: Issue[]) => RpcError,
): Check | undefined {
  if (schema === undefined || isUnchecked(schema)) return undefined;
  const standard = schema["~standard"];
  const broken = (error: unknown) => {
    log?.(`Cannot check ${what}: its schema failed`, error);
    return new RpcError("internal", `Cannot check ${what}: its schema failed`);
  };
  const settle = (outcome: StandardResult<unknown>) => {
    let issues: Issue[] | undefined;
    try {
      // Some libraries return null or false, although the standard has only undefined.
      if (!outcome.issues) return outcome.value;
      issues = issuesOf(outcome.issues);
    } catch (error) {
      throw broken(error);
    }
    throw refusal(issues);
  };
  return (value) => {
    let outcome: StandardResult<unknown> | Promise<StandardResult<unknown>>;
    try {
      outcome = standard.validate(value);
    } catch (error) {
      throw broken(error);
    }
    if (!isThenable(outcome)) return settle(outcome);
    return Promise.resolve(outcome).then(settle, (error) => {
      throw broken(error);
    });
  };
}

/** Applies `next` to a value or to the value of a promise. Synchronous stays synchronous. */
function andThen<T, R>(value: T | PromiseLike<T>, next: (value: T) => R): R | Promise<R> {
  return isThenable(value) ? Promise.resolve(value as PromiseLike<T>).then(next) : next(value as T);
}

/** Wraps an iterable in a generator, which sessions treat as a stream. */
function* itemsOf(items: Iterable<unknown>): Generator<unknown, void, undefined> {
  yield* items;
}

/** Converts a handler's result to what sessions treat as a stream. They treat arrays as data. */
function streamOf(value: unknown): Streamable | undefined {
  if (isAsyncIterable(value)) return value;
  if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) return undefined;
  return isStreamable(value) ? value : itemsOf(value as Iterable<unknown>);
}
