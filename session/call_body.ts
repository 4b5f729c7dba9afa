// Encoded arguments of calls that wait or may be sent again: every attempt sends what the arguments were when `call()`
// was called, whatever the caller does with them afterwards. Owned by a client, or by a server for its calls back.

import { RpcError } from "../call/error.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";

/**
 * Bodies share storage of this size, which is used again: arrays that come and go cost more than all else here. A pending
 * call keeps its whole chunk. Longer ones get storage of their own.
 */
const CHUNK_BYTES = 8_192;
/** How many chunks that are not used any more are kept for later. */
const SPARE_CHUNKS = 16;
/** Up to this length a loop copies faster than `set`. */
const LOOP_BYTES = 64;

/** The default of `maxHeldBytes`. */
export const MAX_HELD_BYTES = 268_435_456;

/** Storage of bodies. */
interface Chunk {
  readonly bytes: Uint8Array;
  used: number;
  /** Bodies in it whose calls are not settled, and one while it is being filled. */
  users: number;
}

/**
 * Bodies that were written to a send buffer in one turn. They are copied from there together, when another turn begins and
 * their calls are not all answered by then: most are.
 */
interface Batch {
  readonly out: ByteBuffer;
  readonly start: number;
  end: number;
  bodies: number;
  /** Where the copy is, once there is one; places there are `offset` further on than in the buffer. */
  chunk: Chunk | undefined;
  offset: number;
}

/** The encoded arguments of one call. */
export class CallBody {
  declare private readonly store: CallBodies;
  declare private batch: Batch | undefined;
  declare private readonly start: number;
  declare private readonly end: number;

  /** @param start Where it begins in what the batch is of */
  constructor(store: CallBodies, batch: Batch, start: number, end: number) {
    this.store = store;
    this.batch = batch;
    this.start = start;
    this.end = end;
  }

  /**
   * A view of its bytes.
   *
   * @throws {Error} If it was released: its storage may have been used again
   */
  bytes(): Uint8Array {
    const { batch, start, end } = this;
    if (batch === undefined) throw new Error("Cannot send a call that is settled");
    const { bytes } = this.store.copied(batch);
    return bytes.subarray(start + batch.offset, end + batch.offset);
  }

  /** Gives its storage back, once the call is settled. */
  release(): void {
    const { batch } = this;
    if (batch === undefined) return;
    this.batch = undefined;
    this.store.released(batch, this.end - this.start);
  }
}

/** The kept bodies of one client or server, and their limit. */
export class CallBodies {
  readonly #max: number;
  /** Bytes of bodies whose calls are not settled. */
  #held = 0;
  #chunk: Chunk = { bytes: new Uint8Array(0), used: 0, users: 1 };
  readonly #spare: Chunk[] = [];

  /** @param max `maxHeldBytes` */
  constructor(max: number) {
    this.#max = max;
  }

  /** Whether more bytes are kept than `maxHeldBytes`. */
  get full(): boolean {
    return this.#held > this.#max;
  }

  /** Why no further call is taken while it is full. */
  refusal(method: string): RpcError {
    const message =
      `Cannot call ${method}: calls that are not answered yet hold ${this.#held} bytes of arguments, ` +
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
    kept.save();
    return body;
  }

  /** @ignore For sessions: a body that lies from `start` to `end` of a send buffer, as a part of `batch`. */
  add(batch: Batch, start: number, end: number): CallBody {
    this.#held += end - start;
    batch.bodies++;
    return new CallBody(this, batch, start, end);
  }

  /** @ignore For bodies: where a batch was copied to, which is done now if it was not. */
  copied(batch: Batch): Chunk {
    if (batch.chunk !== undefined) return batch.chunk;
    const { out: { bytes }, start, end } = batch;
    const length = end - start;
    if (length > CHUNK_BYTES) {
      batch.offset = -start;
      return batch.chunk = { bytes: bytes.slice(start, end), used: length, users: batch.bodies };
    }
    const chunk = batch.chunk = this.#storage(length);
    const at = chunk.used;
    chunk.used += length;
    chunk.users += batch.bodies;
    batch.offset = at - start;
    if (length > LOOP_BYTES) chunk.bytes.set(bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) chunk.bytes[at + i] = bytes[start + i]!;
    return chunk;
  }

  /** @ignore For bodies, one of which is not needed any more. */
  released(batch: Batch, length: number): void {
    this.#held -= length;
    batch.bodies--;
    if (batch.chunk !== undefined) this.#leave(batch.chunk);
  }

  /** A chunk with room for so many bytes. */
  #storage(length: number): Chunk {
    const { bytes, used } = this.#chunk;
    if (used + length <= bytes.length) return this.#chunk;
    this.#leave(this.#chunk);
    this.#chunk = this.#spare.pop() ?? { bytes: new Uint8Array(CHUNK_BYTES), used: 0, users: 0 };
    this.#chunk.users = 1;
    return this.#chunk;
  }

  #leave(chunk: Chunk): void {
    if (--chunk.users > 0 || chunk.bytes.length !== CHUNK_BYTES || this.#spare.length === SPARE_CHUNKS) {
      return;
    }
    chunk.used = 0;
    this.#spare.push(chunk);
  }
}

/** The bodies that one session writes, until another turn may overwrite them. */
export class KeptBodies {
  readonly #store: CallBodies;
  #batch: Batch | undefined;

  constructor(store: CallBodies) {
    this.#store = store;
  }

  /** Keeps the body that lies from `start` to `end` in a send buffer. It may be overwritten after the next `save`. */
  keep(out: ByteBuffer, start: number, end: number): CallBody {
    let batch = this.#batch;
    if (
      batch === undefined || batch.out !== out || batch.chunk !== undefined ||
      end - batch.start > CHUNK_BYTES
    ) {
      this.save();
      batch = this.#batch = { out, start, end, bodies: 0, chunk: undefined, offset: 0 };
    }
    batch.end = end;
    return this.#store.add(batch, start, end);
  }

  /** Copies what was kept since the last time, as far as it is still needed. */
  save(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    if (batch.bodies > 0) this.#store.copied(batch);
  }
}

/** Whether arguments can change while their call waits: objects can; streams are taken item by item. */
export function canChange(args: unknown): boolean {
  return typeof args === "object" && args !== null && !isAsyncIterable(args);
}
