// What a session needs of its half for the peer's calls, and the half of clients without services, which refuse them all and
// therefore do not load Callee.

import { RpcError } from "../call/error.ts";
import type { Codec } from "../codec/codec.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import type { Conn } from "../transport/conn.ts";
import type { Alarm } from "./alarm_clock.ts";
import type { CallRunner, RunnerOptions } from "./call_runner.ts";
import { writeError } from "./error_frame.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import type { FrameWriter } from "./frame_writer.ts";
import type { Agreement } from "./handshake.ts";
import type { SessionLimits } from "./limits.ts";
import type { SessionCall } from "./session_call.ts";
import type { ConnectionWindows } from "./window_budget.ts";

/** What the callee's half of a session is made of. */
export interface CalleeOptions extends RunnerOptions {
  /** `maxUnsentBytes`: streams pause while more than half of that waits to be written. */
  readonly limits: Pick<SessionLimits, "maxInFlight" | "maxQueueTime" | "maxUnsentBytes">;
  /** `handleTimeout`: ms for one call; 0 = no limit, as on the wire. `identity`: of the peer. */
  readonly agreement: Pick<Agreement, "handleTimeout" | "identity">;
}

/** The parts of a session that a callee works with. */
export interface CalleeParts {
  /** Leads to the peer. */
  readonly conn: Conn;
  readonly frameWriter: FrameWriter;
  /** Wakes the session at deadlines. */
  readonly alarm: Alarm;
  /** Charged for calls that are refused or canceled, refunded for those that are answered. */
  readonly floodLimiter: FloodLimiter;
  /** What the windows of streams of arguments may grow from. */
  readonly windows: ConnectionWindows;
  readonly options: CalleeOptions;
}

/** The session that owns a callee. */
export interface CalleeOwner {
  /** Calls a method of the peer, as part of answering one of its calls. */
  callBack(call: SessionCall): void;
  /** A call was answered or abandoned, or its handler has returned. */
  onSettled(): void;
}

/** The half of a session that receives the peer's calls. */
export interface CalleeHalf {
  /** Answers the calls; undefined = none are answered. */
  readonly runner: CallRunner | undefined;
  /** The highest number of a call received; 0 = none. */
  readonly lastSeq: number;
  /** Handles a Call that arrived at `arrived`, on the frame writer's clock. */
  onCall(frame: FrameDecoder, arrived: number): void;
  /** Handles an Item of a stream of arguments. */
  onItem(frame: FrameDecoder): void;
  /** Handles the End of a stream of arguments. */
  onEnd(seq: number): void;
  /** Handles credit for a stream of answers. */
  onCredit(frame: FrameDecoder): void;
  /** Handles a Cancel. */
  onCancel(seq: number): void;
  /** The peer has ended its side: no more arguments arrive, and no credit. */
  endOfInput(reason: RpcError): void;
}

/** Creates the half of a session that answers calls. */
export type CreateCallee = (parts: CalleeParts, codec: Codec, owner: CalleeOwner) => CalleeHalf;

/** Refuses every call. */
export class RefusingCallee implements CalleeHalf {
  readonly runner = undefined;
  lastSeq = 0;
  readonly #parts: Pick<CalleeParts, "frameWriter" | "floodLimiter">;

  constructor(parts: Pick<CalleeParts, "frameWriter" | "floodLimiter">) {
    this.#parts = parts;
  }

  /**
   * @throws {RpcError} If its number breaks the protocol, or too many calls were refused recently
   */
  onCall({ seq }: FrameDecoder): void {
    checkOrder(seq, this.lastSeq);
    this.#parts.floodLimiter.charge();
    this.lastSeq = seq;
    const error = new RpcError("unimplemented", "This side of the connection answers no calls");
    writeError(this.#parts.frameWriter, seq, error, undefined, true);
  }

  onItem(): void {}

  onEnd(): void {}

  /** @throws {RpcError} If too much credit was useless recently */
  onCredit(): void {
    this.#parts.floodLimiter.charge();
  }

  /** @throws {RpcError} If there were too many recently */
  onCancel(): void {
    this.#parts.floodLimiter.charge();
  }

  endOfInput(): void {}
}

/**
 * Checks that the numbers of calls rise.
 *
 * @throws {RpcError} If the number of a call is not above the last one
 */
export function checkOrder(seq: number, lastSeq: number): void {
  if (seq <= lastSeq) throw malformed(`call ${seq} comes after call ${lastSeq}`);
}
