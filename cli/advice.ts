// What to do about a call that failed, where the command line has an answer to that: a flag, a name that was meant.

import { RpcError } from "../call/error.ts";
import { Reflection, RESERVED, type ServiceDescription } from "../call/reflection.ts";
import type { Client } from "../client/client.ts";
import { nearest } from "../call/nearest.ts";
import { UsageError } from "./usage_error.ts";

/** A call that failed, with lines for whoever made it. */
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

/** How long a server may take to say what there is instead, in ms. */
const PATIENCE = 2_000;
/** More names help nobody. */
const MOST_NAMES = 40;

const MORE_TIME = "Give it more time by --timeout, such as --timeout 2m or none";

/** What the library says to programs, and what to do about it here. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/tls\.caCerts/, "Here that is --ca FILE"],
  [/tls\.cert/, "Here that is --cert FILE --key FILE"],
  [/secure: false/, "Here that is --insecure"],
  [/answers with a stream: use stream/, "Only rpc call takes streams"],
  [/^The handler failed$/, "Why is for the server's log alone: new Server({ log: console.error })"],
  [
    /takes a stream, not one value$/,
    "Give - in the place of the JSON, and the items on the input, one a line",
  ],
  [/(takes|with) one value, not a stream$/, "Give one JSON value in the place of -"],
  [/no answer within \d+ ms$/, MORE_TIME],
  [/refused/i, "Is the server running there?"],
];

/** A line about an error, if there is anything to do about it. */
export function adviceOn({ code, message }: RpcError): string | undefined {
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(message)) ?? [];
  if (advice !== undefined) return advice;
  if (code === "unauthenticated") {
    return "Show a token by --token TOKEN or the variable RPC_TOKEN, if that may be read: deno run -E=RPC_TOKEN";
  }
  if (code === "deadline_exceeded") return MORE_TIME;
  return undefined;
}

/**
 * The error to show for a call that failed: of a method that the server does not know, with what could have been meant
 * instead, if the server tells what it offers.
 */
export async function advised(error: unknown, method: string, client: Client): Promise<unknown> {
  // The codec or the metadata refuse what was typed in.
  if (error instanceof TypeError) return new UsageError(error.message);
  if (!(error instanceof RpcError && error.code === "unimplemented" && error.remote)) return error;
  try {
    const services = await client.service(Reflection).list(undefined, { timeout: PATIENCE });
    return new Advised(error, instead(method, services.filter(({ name }) => !name.startsWith(RESERVED))));
  } catch {
    return error;
  }
}

/** What could have been meant by a name that is none of a server's methods. */
function instead(method: string, services: readonly ServiceDescription[]): string[] {
  const names = services.flatMap(({ methods }) => methods.map(({ method }) => method));
  // Then it is another thing that is not implemented.
  if (names.includes(method)) return [];
  const close = nearest(method, names);
  const own = services.find(({ name }) => method.startsWith(`${name}.`))?.methods.map(({ method }) => method);
  const shown = own ?? names;
  const more = shown.length > MOST_NAMES ? `, … (${shown.length - MOST_NAMES} more, see rpc list)` : "";
  const meant = close === undefined ? [] : [`Did you mean ${close}?`];
  return [...meant, `The server has ${shown.slice(0, MOST_NAMES).join(", ") || "no method at all"}${more}`];
}
