// Encoded arguments of calls that wait or may be sent again: every attempt sends the arguments as they were when `call()`
// was called, even if the application has changed them since. Owned by a client, or by a server for its calls back.

import { RpcError } from "../call/error.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";

/**
 * The size of the storage that bodies share. It is reused, because allocating an array for each call would cost more than
 * the rest of this file. A pending call keeps its whole chunk. Longer bodies get storage of their own.
 */
const CHUNK_BYTES = 8_192;
/** How many unused chunks are kept for reuse. */
const SPARE_CHUNKS = 16;
/** Up to this length, a loop copies faster than `set`. */
const LOOP_BYTES = 64;

/** Longer bodies, in bytes, are large: they delay what is sent over the same connection. */
export const LARGE_BODY = 65_536;
/** The most methods of which it is known that they have large bodies. */
const MAX_LARGE_METHODS = 1_024;

/** The default of `maxHeldBytes`. */
export const MAX_HELD_BYTES = 268_435_456;

/** Storage of bodies. */
interface Chunk {
  readonly bytes: Uint8Array;
  used: number;
  /** How many bodies in it have unsettled calls, plus one while the chunk is being filled. */
  users: number;
}

/**
 * Bodies that were written to a send buffer in one turn. They are copied from there together, when another turn begins,
 * unless all their calls were answered by then: most are.
 */
interface Batch {
  readonly out: ByteBuffer;
  readonly start: number;
  end: number;
  bodies: number;
  /** The copy, once there is one. Its positions are those in the buffer plus `offset`. */
  chunk: Chunk | undefined;
  offset: number;
}

/** The encoded arguments of one call. */
export class CallBody {
  declare private readonly store: CallBodies;
  declare private batch: Batch | undefined;
  declare private readonly start: number;
  declare private readonly end: number;

  /** @param start Its position in the batch's send buffer */
  constructor(store: CallBodies, batch: Batch, start: number, end: number) {
    this.store = store;
    this.batch = batch;
    this.start = start;
    this.end = end;
  }

  /**
   * A view of its bytes.
   *
   * @throws {Error} If it was released: its storage may have been reused
   */
  bytes(): Uint8Array {
    const { batch, start, end } = this;
    if (batch === undefined) throw new Error("Cannot send a call that is settled");
    const { bytes } = this.store.copied(batch);
    return bytes.subarray(start + batch.offset, end + batch.offset);
  }

  /** Releases its storage. Called when the call is settled. */
  release(): void {
    const { batch } = this;
    if (batch === undefined) return;
    this.batch = undefined;
    this.store.released(batch, this.end - this.start);
  }
}

/** The kept bodies of one client or server, within a limit. */
export class CallBodies {
  readonly #max: number;
  /** Bytes of bodies whose calls are not settled. */
  #held = 0;
  #chunk: Chunk = { bytes: new Uint8Array(0), used: 0, users: 1 };
  readonly #spare: Chunk[] = [];
  /** Methods that had large arguments or results. */
  readonly #large = new Set<string>();

  /** @param max `maxHeldBytes` */
  constructor(max: number) {
    this.#max = max;
  }

  /** Whether more bytes are kept than `maxHeldBytes`. */
  get full(): boolean {
    return this.#held > this.#max;
  }

  /** Whether a method had large arguments or results. */
  isLarge(method: string): boolean {
    return this.#large.has(method);
  }

  /** Records that a method had large arguments or results. */
  addLarge(method: string): void {
    if (this.#large.size < MAX_LARGE_METHODS) this.#large.add(method);
  }

  /** The error of a call that is refused while it is full. */
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

  /** @ignore For sessions: adds a body, at `start` to `end` of a send buffer, to `batch`. */
  add(batch: Batch, start: number, end: number): CallBody {
    this.#held += end - start;
    batch.bodies++;
    return new CallBody(this, batch, start, end);
  }

  /** @ignore For bodies: the copy of a batch, made now if there is none. */
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

  /** @ignore For a body that is released. */
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

/** The bodies that one session has written, until another turn may overwrite them. */
export class KeptBodies {
  readonly #store: CallBodies;
  #batch: Batch | undefined;

  constructor(store: CallBodies) {
    this.#store = store;
  }

  /** Keeps the body at `start` to `end` of a send buffer. The buffer may be overwritten after the next `save`. */
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

  /** Copies the bodies kept since the last time, unless they were all released. */
  save(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    if (batch.bodies > 0) this.#store.copied(batch);
  }
}

/** Whether arguments can change while their call waits. Objects can; items of streams are read when they are sent. */
export function canChange(args: unknown): boolean {
  return typeof args === "object" && args !== null && !isAsyncIterable(args);
}
