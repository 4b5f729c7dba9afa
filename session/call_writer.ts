// Call frames of one session: encodes a call straight into the send buffer, and keeps the arguments of calls that may be
// sent again. Owned by the caller's half of a session.

import type { RpcError } from "../call/error.ts";
import { shortened } from "../call/metadata.ts";
import type { Codec } from "../codec/codec.ts";
import { beginCall, FRAME_HEAD_BYTES } from "../codec/frame.ts";
import { type CallBodies, canChange, KeptBodies, LARGE_BODY } from "./call_body.ts";
import { type FrameWriter, unencodable } from "./frame_writer.ts";
import type { SessionCall } from "./session_call.ts";

/** Writes the calls of one session. */
export class CallWriter {
  readonly #frameWriter: FrameWriter;
  readonly #bodies: CallBodies;
  readonly #codec: Codec;
  readonly #kept: KeptBodies;
  /** Whether the last call was not written, since it has to wait for its turn. */
  late = false;

  /** @param bodies Where arguments are kept */
  constructor(frameWriter: FrameWriter, codec: Codec, bodies: CallBodies) {
    this.#frameWriter = frameWriter;
    this.#codec = codec;
    this.#bodies = bodies;
    this.#kept = new KeptBodies(bodies);
  }

  /**
   * Writes the Call of a call. Metadata that the library has added is dropped where the header would be too long.
   *
   * A large call that has to wait for its turn is not written: its arguments are kept, and `late` is set.
   *
   * @param streams Whether the arguments follow as items
   * @param atOnce Whether it does not wait
   * @returns Why it cannot be sent, in which case nothing was written
   */
  write(call: SessionCall, seq: number, streams: boolean, atOnce: boolean): RpcError | undefined {
    const frameWriter = this.#frameWriter;
    const { method, args, body } = call;
    const timeout = timeoutAt(call.deadline, frameWriter.now());
    // A Call without a body announces Items.
    const value = streams ? undefined : args === undefined ? null : args;
    const out = frameWriter.beginFrame();
    const start = out.length;
    beginCall(out, seq, method, timeout, call.metadata);
    let bodyStart = out.length;
    let error = frameWriter.endFrame(out, start, value, method, body);
    if (error?.code === "resource_exhausted" && call.metadata !== call.ownMetadata) {
      for (const metadata of shortened(call.metadata, call.ownMetadata)) {
        beginCall(out, seq, method, timeout, metadata);
        bodyStart = out.length;
        error = frameWriter.endFrame(out, start, value, method, body);
        if (error?.code !== "resource_exhausted") break;
      }
    }
    if (error !== undefined) return error;
    if (frameWriter.frameLength > LARGE_BODY) this.addLarge(method);
    const late = this.late = !atOnce && frameWriter.isLate(out, start);
    const keeps = call.repeatable && !streams && typeof args === "object" && args !== null;
    if ((keeps || late) && body === undefined) {
      call.body = this.#kept.keep(out, bodyStart, start + FRAME_HEAD_BYTES + frameWriter.frameLength);
    }
    if (!late) return undefined;
    this.#kept.save();
    out.length = start;
    return undefined;
  }

  /**
   * Keeps the arguments of a call that waits, as they are now.
   *
   * @returns Why it cannot wait
   */
  keepArgs(call: SessionCall): RpcError | undefined {
    if (call.body !== undefined || !canChange(call.args)) return undefined;
    if (this.#bodies.full) return this.#bodies.refusal(call.method);
    try {
      call.body = this.#bodies.encode(call.args, this.#codec);
      return undefined;
    } catch (error) {
      return unencodable(error);
    }
  }

  /** Records that a method has large arguments or results. */
  addLarge(method: string): void {
    this.#bodies.addLarge(method);
  }

  /** Saves the kept arguments: the send buffer may be overwritten from now on. */
  saveArgs(): void {
    this.#kept.save();
  }
}

/** The timeout of a Call in ms. Less than 1 ms left is sent as 1, since 0 means no limit. */
export function timeoutAt(deadline: number, now: number): number {
  if (deadline === Infinity) return 0;
  return Math.min(Math.max(1, Math.floor(deadline - now)), Number.MAX_SAFE_INTEGER);
}
