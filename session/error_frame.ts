// An Error on its way out: with all that it carries if that can be sent, and else with as much as can. Called by the
// callee's half of a session. Also what the protocol itself says beside an error, on both ways.

import type { RpcError } from "../call/error.ts";
import { type Metadata, NOT_STARTED, RETRY_AFTER, withEntries } from "../call/metadata.ts";
import { beginError, endFrame } from "../codec/frame.ts";
import type { FrameWriter } from "./frame_writer.ts";

/** As much of an error's message, in UTF-16 units, as fits in the shortest frame that a peer may insist on. */
const SHORT_MESSAGE = 64;
/** What says that no handler was started. It always fits, and is never left out. */
const NOT_STARTED_METADATA: Metadata = new Map([[NOT_STARTED, ""]]);
const LONGEST_RETRY_AFTER = 999_999_999;
const DIGITS = /^[0-9]{1,9}$/;

/**
 * Writes the Error of a call.
 *
 * @param own What the handler wants to travel beside it
 * @param notStarted Whether no handler was started
 * @returns Why it could not be sent with all that it carries, if it could not
 */
export function writeError(
  frameWriter: FrameWriter,
  seq: number,
  error: RpcError,
  own: Metadata | undefined,
  notStarted: boolean,
): RpcError | undefined {
  const { details } = error;
  const least = notStarted ? NOT_STARTED_METADATA : undefined;
  const metadata = withRetryAfter(own ?? least, error.retryAfter);
  let unsendable = attempt(frameWriter, seq, error, metadata, details);
  if (unsendable !== undefined && error.retryAfter !== undefined) {
    unsendable = attempt(frameWriter, seq, error, own ?? least, details);
  }
  if (unsendable === undefined) return undefined;
  if (attempt(frameWriter, seq, error, metadata, undefined) === undefined) return unsendable;
  if (attempt(frameWriter, seq, error, least, details) === undefined) return unsendable;
  if (attempt(frameWriter, seq, error, least, undefined) === undefined) return unsendable;
  const out = frameWriter.beginFrame();
  const start = out.length;
  beginError(out, seq, error.code, error.message.slice(0, SHORT_MESSAGE), least);
  endFrame(out, start);
  return unsendable;
}

/** What an Error's metadata say of another attempt, in ms; undefined if they say nothing that can be understood. */
export function retryAfterOf(metadata: Metadata | undefined): number | undefined {
  const text = metadata?.get(RETRY_AFTER);
  return typeof text === "string" && DIGITS.test(text) ? Number(text) : undefined;
}

function withRetryAfter(
  metadata: Metadata | undefined,
  retryAfter: number | undefined,
): Metadata | undefined {
  if (retryAfter === undefined) return metadata;
  const ms = Math.min(Math.ceil(retryAfter), LONGEST_RETRY_AFTER);
  return withEntries(metadata, [[RETRY_AFTER, String(ms)]]);
}

/** Writes it with these, or nothing, and returns why not. */
function attempt(
  frameWriter: FrameWriter,
  seq: number,
  { code, message }: RpcError,
  metadata: Metadata | undefined,
  details: unknown,
): RpcError | undefined {
  const out = frameWriter.beginFrame();
  const start = out.length;
  beginError(out, seq, code, message, metadata);
  return frameWriter.endFrame(out, start, details);
}
