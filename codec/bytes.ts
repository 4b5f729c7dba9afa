// A growable run of bytes that encoders append to. A connection's send buffer is one, so that a message
// is written once, where it leaves from: copying a small message costs more than encoding it.

const NOTHING = new Uint8Array(0);
const SMALLEST = 256;

/** Bytes that grow at the end. Encoders write at `length` after `reserve`, or use `append`. */
export class ByteBuffer {
  /** The storage; what counts is `bytes[0]` up to `bytes[length - 1]`. Replaced when it grows. */
  bytes: Uint8Array<ArrayBuffer>;
  /** How many bytes have been written. Setting it lower takes the rest back. */
  length = 0;

  /**
   * Makes an empty buffer.
   *
   * @param capacity Bytes to begin with
   */
  constructor(capacity = 1024) {
    this.bytes = capacity === 0 ? NOTHING : new Uint8Array(capacity);
  }

  /** Makes room for `count` more bytes behind `length`; `bytes` may be another array afterwards. */
  reserve(count: number): void {
    // Kept this small so that V8 inlines it: it is called for every item.
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(this.length + count, this.bytes.length * 2, SMALLEST));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Appends a copy of `part`. */
  append(part: Uint8Array): void {
    this.reserve(part.length);
    this.bytes.set(part, this.length);
    this.length += part.length;
  }

  /** A view of what has been written; valid until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }
}
