// An Error on its way out: with all that it carries if that can be sent, and else with as much as can. Called by the
// callee's half of a session.

import type { RpcError } from "../call/error.ts";
import { type Metadata, NOT_STARTED } from "../call/metadata.ts";
import { beginError, endFrame } from "../codec/frame.ts";
import type { Outbox } from "./outbox.ts";

/** As much of an error's message, in UTF-16 units, as fits in the shortest frame that a peer may insist on. */
const SHORT_MESSAGE = 64;
/** What says that no handler was started. It always fits, and is never left out. */
export const NOT_STARTED_METADATA: Metadata = new Map([[NOT_STARTED, ""]]);

/**
 * Writes the Error of a call.
 *
 * @returns Why it could not be sent with all that it carries, if it could not
 */
export function writeError(
  outbox: Outbox,
  seq: number,
  error: RpcError,
  metadata: Metadata | undefined,
): RpcError | undefined {
  const { details } = error;
  const unsendable = attempt(outbox, seq, error, metadata, details);
  if (unsendable === undefined) return undefined;
  const least = metadata === NOT_STARTED_METADATA ? metadata : undefined;
  if (attempt(outbox, seq, error, metadata, undefined) === undefined) return unsendable;
  if (attempt(outbox, seq, error, least, details) === undefined) return unsendable;
  if (attempt(outbox, seq, error, least, undefined) === undefined) return unsendable;
  const out = outbox.open();
  const start = out.length;
  beginError(out, seq, error.code, error.message.slice(0, SHORT_MESSAGE), least);
  endFrame(out, start);
  return unsendable;
}

/** Writes it with these, or nothing, and returns why not. */
function attempt(
  outbox: Outbox,
  seq: number,
  { code, message }: RpcError,
  metadata: Metadata | undefined,
  details: unknown,
): RpcError | undefined {
  const out = outbox.open();
  const start = out.length;
  beginError(out, seq, code, message, metadata);
  return outbox.seal(out, start, details);
}
