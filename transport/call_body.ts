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
  declare private readonly store: CallBodies;
  declare private readonly batch: Batch;
  declare private readonly start: number;
  declare private readonly end: number;

  /** @param start Where it begins in what the batch is of */
  constructor(store: CallBodies, batch: Batch, start: number, end: number) {
    this.store = store;
    this.batch = batch;
    this.start = start;
    this.end = end;
  }

  /** A view of its bytes. */
  bytes(): Uint8Array {
    const { batch, start, end } = this;
    this.store.copy(batch);
    return batch.bytes!.subarray(start + batch.offset, end + batch.offset);
  }

  /** Gives its bytes back to the limit, once the call is settled. */
  release(): void {
    this.store.held -= this.end - this.start;
  }
}

/** Bodies that were written to a send buffer in one turn, and are copied from there together when it is over. */
export interface Batch {
  readonly out: ByteBuffer;
  readonly start: number;
  end: number;
  /** The copy, once there is one, in which places are `offset` further on than in the buffer. */
  bytes: Uint8Array | undefined;
  offset: number;
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

  /**
   * Encodes and keeps arguments that have to wait.
   *
   * @throws {Error} If they cannot be encoded
   */
  encode(args: unknown, codec: Codec): CallBody {
    const out = new ByteBuffer(LOOP_BYTES);
    encodeValue(codec, args, out);
    const kept = new KeptBodies(this);
    const body = kept.keep(out, 0, out.length);
    kept.endTurn();
    return body;
  }

  /** @ignore For a caller's half of a session: a body that begins at `start` of a send buffer, as a part of `batch`. */
  add(batch: Batch, start: number, end: number): CallBody {
    this.held += end - start;
    return new CallBody(this, batch, start, end);
  }

  /** @ignore For the same: copies what is in a send buffer still. */
  copy(batch: Batch): void {
    if (batch.bytes !== undefined) return;
    const { out: { bytes }, start, end } = batch;
    const length = end - start;
    if (length > LONGEST_SHARED * 2) {
      batch.bytes = bytes.slice(start, end);
      batch.offset = -start;
      return;
    }
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(CHUNK_BYTES);
      this.#used = 0;
    }
    const chunk = batch.bytes = this.#chunk;
    const at = this.#used;
    this.#used = at + length;
    batch.offset = at - start;
    if (length > LOOP_BYTES) chunk.set(bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) chunk[at + i] = bytes[start + i]!;
  }
}

/** The bodies that one session writes: copied together at the end of each turn, which costs much less than one by one. */
export class KeptBodies {
  readonly #store: CallBodies;
  #batch: Batch | undefined;

  constructor(store: CallBodies) {
    this.#store = store;
  }

  /** Keeps the body that lies from `start` to `end` in a send buffer. It may be overwritten once the turn is over. */
  keep(out: ByteBuffer, start: number, end: number): CallBody {
    let batch = this.#batch;
    if (
      batch === undefined || batch.out !== out || end - batch.start > CHUNK_BYTES ||
      end - start > LONGEST_SHARED
    ) {
      this.endTurn();
      batch = this.#batch = { out, start, end, bytes: undefined, offset: 0 };
    }
    batch.end = end;
    return this.#store.add(batch, start, end);
  }

  /** Copies what was kept in this turn. */
  endTurn(): void {
    if (this.#batch === undefined) return;
    this.#store.copy(this.#batch);
    this.#batch = undefined;
  }
}

/** Whether arguments can change while their call waits: objects can; streams are taken item by item. */
export function canChange(args: unknown): boolean {
  return typeof args === "object" && args !== null && !isAsyncIterable(args);
}
