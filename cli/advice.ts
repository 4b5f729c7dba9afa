// Turns errors of failed calls into advice for users of the command line: a flag to set, a name that was
// meant. Used by commands and run.ts.

import { RpcError } from "../call/error.ts";
import { Reflection, RESERVED, type ServiceDescription } from "../call/reflection.ts";
import type { Client } from "../client/client.ts";
import { nearest } from "../call/nearest.ts";
import { UsageError } from "./usage_error.ts";

/** An error of a call, with lines of advice for the user. */
export class Advised extends Error {
  override readonly name = "Advised";
  readonly error: RpcError;
  readonly lines: readonly string[];

  constructor(error: RpcError, lines: readonly string[]) {
    super(error.message, { cause: error });
    this.error = error;
    this.lines = lines;
  }
}

/** How long to wait for the server's list of methods, in ms. */
const LIST_TIMEOUT = 2_000;
/** Maximum number of method names in a message. */
const MAX_NAMES = 40;

const MORE_TIME = "Allow more time, for example with --timeout 2m or --timeout none";

/** Library messages, with the equivalent advice for the command line. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/tls\.caCerts/, "On the command line: --ca FILE"],
  [/tls\.cert/, "On the command line: --cert FILE --key FILE"],
  [/secure: false/, "On the command line: --insecure"],
  [/answers with a stream: use stream/, "Only rpc call supports streams"],
  [/^The handler failed$/, "The reason is only in the server's log: new Server({ log: console.error })"],
  [
    /takes a stream, not one value$/,
    "Pass - instead of the JSON, and the items on standard input, one per line",
  ],
  [/(takes|with) one value, not a stream$/, "Pass one JSON value instead of -"],
  [/no answer within \d+ ms( \(connectTimeout\))?$/, MORE_TIME],
  [/^Cannot (?:reach|read the list of the) registry at http:/, "An RPC server on HTTP is http@HOST:PORT"],
  [/refused/i, "Check that the server is running at this address"],
];

/** Advice for an error, or undefined if it has none. */
export function adviceOn({ code, message }: RpcError): string | undefined {
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(message)) ?? [];
  if (advice !== undefined) return advice;
  if (code === "unauthenticated") {
    return "Send a token with --token TOKEN or the environment variable RPC_TOKEN (needs deno run -E=RPC_TOKEN)";
  }
  if (code === "deadline_exceeded") return MORE_TIME;
  return undefined;
}

/**
 * The error to show for a failed call. If the server does not know the method, adds suggestions from the list
 * of its methods, if it offers one.
 */
export async function advised(error: unknown, method: string, client: Client): Promise<unknown> {
  // The codec or the metadata check rejected the user's input.
  if (error instanceof TypeError) return new UsageError(error.message);
  if (!(error instanceof RpcError && error.code === "unimplemented" && error.remote)) return error;
  try {
    const services = await client.service(Reflection).list(undefined, { timeout: LIST_TIMEOUT });
    return new Advised(error, suggestions(method, services.filter(({ name }) => !name.startsWith(RESERVED))));
  } catch {
    return error;
  }
}

/** Suggestions for an unknown method. */
function suggestions(method: string, services: readonly ServiceDescription[]): string[] {
  const names = services.flatMap(({ methods }) => methods.map(({ method }) => method));
  // The method exists: something else is not implemented.
  if (names.includes(method)) return [];
  const close = nearest(method, names);
  const own = services.find(({ name }) => method.startsWith(`${name}.`))?.methods.map(({ method }) => method);
  const listed = own ?? names;
  const more = listed.length > MAX_NAMES ? `, … (${listed.length - MAX_NAMES} more; see rpc list)` : "";
  const meant = close === undefined ? [] : [`Did you mean ${close}?`];
  return [...meant, `The server has ${listed.slice(0, MAX_NAMES).join(", ") || "no methods"}${more}`];
}
