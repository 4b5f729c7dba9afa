// Errors as frames: written by the callee's half of a session, with all that they carry or else as much as can be sent,
// and read by the caller's half. Also the protocol's own metadata of an error.

import { RpcError } from "../call/error.ts";
import {
  applicationMetadata,
  type Metadata,
  NOT_STARTED,
  RETRY_AFTER,
  withEntries,
} from "../call/metadata.ts";
import type { Codec } from "../codec/codec.ts";
import { beginError, endFrame } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import type { FrameWriter } from "./frame_writer.ts";

/** How much of a message, in UTF-16 units, fits into any frame, however short the peer's `maxFrameBytes`. */
const SHORT_MESSAGE = 64;
/** Says that no handler was started. It fits into any frame, and is never left out. */
const NOT_STARTED_METADATA: Metadata = new Map([[NOT_STARTED, ""]]);
const LONGEST_RETRY_AFTER = 999_999_999;
const DIGITS = /^[0-9]{1,9}$/;

/**
 * Writes the Error of a call.
 *
 * @param own The metadata of the application
 * @param notStarted Whether no handler was started
 * @returns Why some of what it carries was left out, if it was
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

/** The error of a received Error. */
export function readError(
  { bytes, bodyStart, bodyEnd, code, message, metadata }: FrameDecoder,
  codec: Codec,
): RpcError {
  let details: unknown;
  try {
    if (bodyStart < bodyEnd) details = codec.decode(bytes, bodyStart, bodyEnd);
  } catch {
    // The error is of use without its details.
  }
  return new RpcError(code, message, {
    details,
    remote: true,
    notStarted: metadata?.has(NOT_STARTED) ?? false,
    retryAfter: retryAfterOf(metadata),
    metadata: applicationMetadata(metadata),
  });
}

/** The `retryAfter` of an Error in ms; undefined if there is none, or it is invalid. */
function retryAfterOf(metadata: Metadata | undefined): number | undefined {
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

/** Writes an Error with exactly these parts, or nothing. Returns why it cannot be sent. */
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
