// Encoded arguments of calls that wait or may be sent again: every attempt sends what the arguments were when `call()`
// was called, whatever the caller does with them afterwards. Owned by a client, or by a server for its calls back.

import { RpcError } from "../call/error.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";

/** Short bodies share storage of this size: an array of its own for each would cost more than all else that is kept. */
const CHUNK_BYTES = 8_192;
/** The longest body that shares. A pending call keeps its whole chunk, so long ones get storage of their own. */
const LONGEST_SHARED = 1_024;
/** Up to this length a loop copies faster than `set`. */
const LOOP_BYTES = 64;

/** The default of `maxHeldBytes`. */
export const MAX_HELD_BYTES = 268_435_456;

/** The encoded arguments of one call. */
export class CallBody {
  /** The storage; the body is `bytes[start]` up to `bytes[end - 1]`. */
  declare readonly bytes: Uint8Array;
  declare readonly start: number;
  declare readonly end: number;
  declare private readonly store: CallBodies;

  constructor(store: CallBodies, bytes: Uint8Array, start: number, end: number) {
    this.store = store;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  /** Gives its bytes back to the limit, once the call is settled. */
  release(): void {
    this.store.held -= this.end - this.start;
  }
}

/** The kept bodies of one client or server, and their limit. */
export class CallBodies {
  /** Bytes of bodies whose calls are not settled. */
  held = 0;
  readonly #max: number;
  #chunk = new Uint8Array(0);
  #used = 0;

  /** @param max `maxHeldBytes` */
  constructor(max: number) {
    this.#max = max;
  }

  /** Whether more bytes are kept than `maxHeldBytes`. */
  get full(): boolean {
    return this.held > this.#max;
  }

  /** Why no further call is taken while it is full. */
  refusal(method: string): RpcError {
    const message =
      `Cannot call ${method}: calls that are not answered yet hold ${this.held} bytes of arguments, ` +
      `more than ${this.#max} (maxHeldBytes)`;
    return new RpcError("resource_exhausted", message, { notStarted: true });
  }

  /** Keeps a copy of `bytes[start]` up to `bytes[end - 1]`. */
  keep(bytes: Uint8Array, start: number, end: number): CallBody {
    const length = end - start;
    this.held += length;
    if (length > LONGEST_SHARED) return new CallBody(this, bytes.slice(start, end), 0, length);
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(CHUNK_BYTES);
      this.#used = 0;
    }
    const chunk = this.#chunk;
    const at = this.#used;
    this.#used = at + length;
    if (length > LOOP_BYTES) chunk.set(bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) chunk[at + i] = bytes[start + i]!;
    return new CallBody(this, chunk, at, at + length);
  }

  /**
   * Encodes and keeps arguments that have to wait.
   *
   * @throws {Error} If they cannot be encoded
   */
  encode(args: unknown, codec: Codec): CallBody {
    const out = new ByteBuffer(LOOP_BYTES);
    encodeValue(codec, args, out);
    return this.keep(out.bytes, 0, out.length);
  }
}

/** Whether arguments can change while their call waits: objects can; streams are taken item by item. */
export function canChange(args: unknown): boolean {
  return typeof args === "object" && args !== null && !isAsyncIterable(args);
}
