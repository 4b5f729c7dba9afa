// A growable byte buffer that encoders append to. Each connection's send buffer is one, so that a message is encoded in the
// place it is sent from: copying a small message costs more than encoding it.

const EMPTY = new Uint8Array(0);
const MIN_CAPACITY = 256;

/** A byte buffer that grows at the end. Encoders write at `length` after `reserve`, or use `append`. */
export class ByteBuffer {
  /** The storage; valid are `bytes[0]` up to `bytes[length - 1]`. Replaced when it grows. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Number of bytes written. Set it lower to discard the last bytes. */
  length = 0;

  /**
   * Creates an empty buffer.
   *
   * @param capacity Initial size of the storage in bytes, from 0
   */
  constructor(capacity = 1024) {
    this.bytes = capacity === 0 ? EMPTY : new Uint8Array(capacity);
  }

  /** Makes room for `count` more bytes after `length`; may replace `bytes`. */
  reserve(count: number): void {
    // Kept small so that V8 inlines it: it is called for every item.
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(this.length + count, this.bytes.length * 2, MIN_CAPACITY));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Appends a copy of `part`. */
  append(part: Uint8Array): void {
    this.reserve(part.length);
    this.bytes.set(part, this.length);
    this.length += part.length;
  }

  /** A view of the bytes written so far; valid until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }
}
