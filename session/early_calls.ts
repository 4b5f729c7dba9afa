// Calls that leave together with the option of a handshake: their answers arrive one round trip sooner than if they waited for
// the server's line. Owned by a dial. The session takes them over once the server has accepted the connection.

import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import { RpcError } from "../call/error.ts";
import { SignalFanOut } from "../call/signals.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";
import { beginCall, endFrame, FRAME_HEAD_BYTES, Kind, MAX_HEADER_BYTES, writeShort } from "../codec/frame.ts";
import { MIN_IN_FLIGHT, MIN_SERVER_FRAME_BYTES } from "../codec/handshake_line.ts";
import type { Conn } from "../transport/conn.ts";
import { Alarm, type AlarmClock, type Sleeper } from "./alarm_clock.ts";
import { timeoutAt } from "./call_writer.ts";
import type { CallTarget, SessionCall } from "./session_call.ts";

/** Calls that wait for a connection are made within so many microtasks after it is there: they leave in one write. */
const MICROTASKS = 16;
/** The most that is written at once: the session waits for the end of a write. */
const WRITE_BYTES = 65_536;
/** While the server's line is missing, calls look for another server every so many ms. */
const PATIENCE = 250;

/** What a session takes over. */
export interface EarlyState {
  /** The calls that are not settled, in the order of their numbers; those with number 0 were not sent. */
  readonly calls: readonly SessionCall[];
  /** The number of the next call. */
  readonly nextSeq: number;
  /** Bytes of frames that were not written yet. */
  readonly unwritten: Uint8Array;
}

/** The session that follows. */
export interface EarlySuccessor extends CallTarget {
  adopt(early: EarlyState): void;
}

/** Makes the early calls of a connection. The codec is the one that the option requests. */
export type EarlyCallsFactory = (conn: Conn, codec: Codec, clock: AlarmClock) => EarlyCalls;

/** The calls of one connection before its session. */
export class EarlyCalls implements CallTarget, Sleeper {
  readonly #conn: Conn;
  readonly #codec: Codec;
  readonly #alarm: Alarm;
  readonly #calls = new Set<SessionCall>();
  readonly #signals = new SignalFanOut<SessionCall>((call) => {
    this.#end(call, canceled(call.method, call.signal?.reason, call.seq === 0));
  });
  /** The option, and the frames after it. */
  #out = new ByteBuffer(0);
  /** How much of that was written. */
  #written = 0;
  #writing: Promise<void> | undefined;
  /** Whether nothing more is written here. */
  #stopped = false;
  #nextSeq = 1;
  /** When calls look for another server next. */
  #moveAt = performance.now() + PATIENCE;
  #session: EarlySuccessor | undefined;
  #failure: RpcError | undefined;

  constructor(conn: Conn, codec: Codec, clock: AlarmClock) {
    this.#conn = conn;
    this.#codec = codec;
    this.#alarm = new Alarm(this, clock);
  }

  get address(): string {
    return this.#conn.peer;
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Calls that are not settled, and that no session has taken over. */
  get pending(): number {
    return this.#calls.size;
  }

  /** Sends a call, or keeps it for the session: at most 16 calls are sent, in frames of at most 64 KiB. */
  call(call: SessionCall): void {
    const { signal } = call;
    if (this.#session !== undefined) return this.#session.call(call);
    if (this.#failure !== undefined) return call.reject(endedWith(this.#failure, true));
    if (signal?.aborted) return call.reject(canceled(call.method, signal.reason, true));
    this.#calls.add(call);
    if (signal !== undefined) this.#signals.add(signal, call);
    this.#alarm.by(Math.min(call.deadline, this.#moveAt));
    this.#send(call);
  }

  /** Sends the option. Never throws: a connection that cannot be written to has no answer either, or has a refusal. */
  begin(option: Uint8Array): void {
    this.#out.append(option);
    this.#flush();
  }

  /** Stops writing, as far as a write in progress allows. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  /** The server has accepted the connection, and writing was stopped. */
  handOver(session: EarlySuccessor): void {
    this.#session = session;
    this.#alarm.stop();
    const calls = [...this.#calls];
    for (const call of calls) this.#remove(call);
    session.adopt({
      calls,
      nextSeq: this.#nextSeq,
      unwritten: this.#out.written().subarray(this.#written),
    });
    // The calls still hold this object.
    this.#out = new ByteBuffer(0);
  }

  /**
   * There is no session. A server that has refused the option has started no call; if it has not said so, those that were
   * sent may have been started.
   */
  fail(error: RpcError): void {
    if (this.#session !== undefined) return;
    this.#failure = error;
    this.#alarm.stop();
    for (const call of [...this.#calls]) {
      this.#remove(call);
      call.reject(endedWith(error, error.remote || call.seq === 0));
    }
  }

  onAlarm(now: number): void {
    const why = `still connecting to ${this.address}`;
    for (const call of [...this.#calls]) {
      if (call.deadline <= now) this.#end(call, deadlineExceeded(call, call.seq === 0, why));
    }
    if (now >= this.#moveAt) this.#moveAway(now);
    for (const call of this.#calls) this.#alarm.by(Math.min(call.deadline, this.#moveAt));
  }

  /** Moves calls that can move to other servers: this one does not answer. */
  #moveAway(now: number): void {
    this.#moveAt = now + PATIENCE;
    for (const call of [...this.#calls]) {
      const late = new RpcError(
        "unavailable",
        `${this.address} has not answered the handshake within ${PATIENCE} ms`,
      );
      if (call.leaves?.(call.seq === 0 ? undefined : late) === true) this.#cancel(call);
    }
  }

  #send(call: SessionCall): void {
    if (this.#stopped || this.#nextSeq >= 2 * MIN_IN_FLIGHT || isAsyncIterable(call.args)) return;
    const body = this.#bodyOf(call);
    if (body === undefined || body.length > MIN_SERVER_FRAME_BYTES) return;
    const frame = new ByteBuffer(0);
    beginCall(frame, this.#nextSeq, call.method, timeoutAt(call.deadline, performance.now()), call.metadata);
    if (frame.length > MAX_HEADER_BYTES + FRAME_HEAD_BYTES) return;
    frame.append(body);
    if (endFrame(frame, 0) > MIN_SERVER_FRAME_BYTES) return;
    call.seq = this.#nextSeq;
    this.#nextSeq += 2;
    this.#out.append(frame.written());
    this.#flush();
  }

  /** The encoded arguments; undefined if they cannot be encoded, which the session reports. */
  #bodyOf({ args, body }: SessionCall): Uint8Array | undefined {
    if (body !== undefined) return body.bytes();
    const out = new ByteBuffer(0);
    try {
      encodeValue(this.#codec, args === undefined ? null : args, out);
      return out.written();
    } catch {
      return undefined;
    }
  }

  /** Ends a call without an answer. */
  #end(call: SessionCall, error: RpcError): void {
    this.#cancel(call);
    call.reject(error);
  }

  #cancel(call: SessionCall): void {
    this.#remove(call);
    if (call.seq === 0) return;
    writeShort(this.#out, Kind.Cancel, call.seq);
    this.#flush();
  }

  #remove(call: SessionCall): void {
    this.#calls.delete(call);
    if (call.signal !== undefined) this.#signals.remove(call.signal, call);
  }

  #flush(): void {
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    for (let i = 0; i < MICROTASKS; i++) await null;
    try {
      while (!this.#stopped && this.#written < this.#out.length) {
        const part = this.#out.written().subarray(this.#written, this.#written + WRITE_BYTES);
        this.#written += await this.#conn.write(part);
      }
    } catch {
      // Reading fails too, unless the server has refused the option before.
      this.#stopped = true;
    }
    this.#writing = undefined;
  }
}
