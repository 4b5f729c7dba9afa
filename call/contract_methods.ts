// What a server makes of a contract and its handlers: each handler between the checks that its method asks for. Called
// by the service table; nothing is wrapped that is not checked.

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
import { isPlainObject } from "./realm.ts";
import { isAsyncIterable, isStreamable, type Streamable } from "./streamable.ts";
import { isThenable } from "./thenable.ts";
import { type Issue, issuesOf, textOfIssues } from "./issues.ts";

/**
 * The handlers of a contract by name, as `server.register` takes them. The type for a class to implement, or for
 * handlers that are written apart.
 *
 * @typeParam C The contract's type, such as `typeof Arith`
 */
export type ContractHandlers<C extends Contract> = {
  readonly [N in keyof C["methods"]]: ContractHandler<C["methods"][N]>;
};

/**
 * What `server.register` takes for a service: the handlers of a contract; for a name, an object with methods.
 *
 * @typeParam S A contract's type, or text
 * @typeParam M The type of an object with methods
 */
export type ServiceHandlers<S extends string | Contract, M extends object = object> = S extends Contract
  ? ContractHandlers<S>
  : M & CheckedMethods<M>;

/**
 * What the methods of an object must be to be handlers: those that are not have a text as their type, which the compiler
 * then shows. Objects that inherit from classes of the platform are not checked, since the compiler does not know which of
 * their methods are not offered.
 *
 * @typeParam M The type of the object
 */
export type CheckedMethods<M> = M extends PlatformObject ? unknown
  : { readonly [N in keyof M]: N extends `_${string}` ? unknown : CheckedMethod<M[N]> };

/**
 * A method if it can be a handler, and otherwise why not.
 *
 * @typeParam F The type of a property
 */
export type CheckedMethod<F> = F extends (...args: infer P) => unknown
  ? AcceptsNull<P[0]> extends true ? "A handler's argument is never null: one that is left out is undefined"
    // deno-lint-ignore no-explicit-any -- a handler vouches for the type of its argument
  : F extends (args: any, context: CallContext) => unknown ? unknown
  : "A handler takes one argument and the context: put more values into an object, ({ a, b }, context) => …"
  : unknown;

/** Whether null is one of the values that `T` names. Without `strictNullChecks` it is one of every type's. */
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

/** What the handler of a kind of method gets. */
export type HandlerArgs<Kind extends MethodKind, T> = Kind extends StreamsArgs ? AsyncIterable<T> : T;

/** What the handler of a kind of method may return. */
export type HandlerResult<Kind extends MethodKind, T> = Kind extends StreamsResult
  ? AsyncIterable<T> | Iterable<T> | Promise<AsyncIterable<T> | Iterable<T>>
  : T | Promise<T>;

/** Makes of a value what its schema makes of it, or a promise of that; throws or rejects if it does not fit. */
type Check = (value: unknown) => unknown;

/** Puts the handlers of an object between the checks of a contract, when a service table has found them. */
export function contractCheck(
  contract: Contract,
  target: object,
  log?: Log,
): (offered: ReadonlyMap<string, Handler>) => Map<string, Handler> {
  return (offered) => contractHandlers(contract, offered, isPlainObject(target), log);
}

/**
 * The handlers of a contract's methods, with their checks.
 *
 * @param offered What the user's object has
 * @param exact Whether it must have nothing else
 * @param log Told of what callers are not: results that do not fit, and schemas that fail
 * @throws {TypeError} If a method has no handler, or a handler no method
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
      throw new TypeError(`Cannot register service "${name}": there is no handler for its method "${key}"`);
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

function checked(whole: string, method: ContractMethod, handler: Handler, log?: Log): Handler {
  const args = argsCheck(whole, method, log);
  const result = resultCheck(whole, method, log);
  return (given, context) => {
    const taken = args(given);
    const answer = isThenable(taken)
      ? Promise.resolve(taken).then((value) => {
        // Who called may have left meanwhile.
        context.signal.throwIfAborted();
        return handler(value, context);
      })
      : handler(taken, context);
    return result === undefined ? answer : andThen(answer, result);
  };
}

function argsCheck(whole: string, { kind, args: schema }: ContractMethod, log?: Log): Check {
  const streams = streamsArgs(kind);
  const what = `${streams ? "an item of the arguments" : "the arguments"} of ${whole}`;
  const check = schemaCheck(schema, what, log, (issues) => {
    const message = `Cannot accept ${what}: ${textOfIssues(issues)}`;
    return new RpcError("invalid_argument", message, { details: { issues } });
  });
  return (args) => {
    if (isAsyncIterable(args) !== streams) {
      const takes = streams ? "a stream, not one value" : "one value, not a stream";
      throw new RpcError("invalid_argument", `${whole} takes ${takes}`);
    }
    if (check === undefined) return args;
    return isAsyncIterable(args) ? new Items(args, { check }) : check(args);
  };
}

function resultCheck(whole: string, { kind, result: schema }: ContractMethod, log?: Log): Check | undefined {
  const streams = streamsResult(kind);
  const what = `${streams ? "an item of the result" : "the result"} of ${whole}`;
  // What the handler returned may be private: only who runs the server is told.
  const refuse = (why: string, details?: unknown) => {
    log?.(`Cannot send ${what}: ${why}`, details);
    return new RpcError("internal", `Cannot send ${what}: it is not what its contract says`);
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
 * A check by a schema, if there is anything to check. What the schema itself throws is the server's fault, whatever it
 * is.
 *
 * @param what Names the value
 * @param refusal Makes the error for a value that does not fit
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
      if (outcome.issues === undefined) return outcome.value;
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

/** Goes on at once with a value, later with a promise: what is synchronous stays so. */
function andThen<T, R>(value: T | PromiseLike<T>, next: (value: T) => R): R | Promise<R> {
  return isThenable(value) ? Promise.resolve(value as PromiseLike<T>).then(next) : next(value as T);
}

/** An iterable's items as a generator, which a session takes for a stream. */
function* itemsOf(items: Iterable<unknown>): Generator<unknown, void, undefined> {
  yield* items;
}

/** What a handler returned for a stream, as a session takes it: an array is data there. */
function streamOf(value: unknown): Streamable | undefined {
  if (isAsyncIterable(value)) return value;
  if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) return undefined;
  return isStreamable(value) ? value : itemsOf(value as Iterable<unknown>);
}
