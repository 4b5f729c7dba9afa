// Reads what precedes frames: lines and HTTP heads of bounded size. Bytes after them are kept, since a peer may send its first
// calls together with its option.

import type { Conn } from "./conn.ts";

const LF = 10;
const EMPTY = new Uint8Array(0);

/** A bounded buffer in front of a Conn, used until frames start. */
export class LineReader {
  readonly #conn: Conn;
  readonly #onReceived: (() => void) | undefined;
  #buffered: Uint8Array<ArrayBuffer> = EMPTY;

  /** @param onReceived Called when bytes have arrived */
  constructor(conn: Conn, onReceived?: () => void) {
    this.#conn = conn;
    this.#onReceived = onReceived;
  }

  /**
   * Reads up to and including an LF.
   *
   * @param limit Maximum number of bytes, including the LF
   * @param mayStart Whether a first byte is accepted. Any other ends the wait, since a peer that speaks another protocol may
   *   never send an LF
   * @returns The bytes, including the LF; null if the stream ended before the first byte
   * @throws {SyntaxError} If the first byte is not accepted
   * @throws {RangeError} If there is no LF within the limit
   * @throws {Error} If the stream ends in the middle of a line, or the connection is lost
   */
  async line(limit: number, mayStart?: (byte: number) => boolean): Promise<Uint8Array<ArrayBuffer> | null> {
    for (let from = 0;;) {
      const buffered = this.#buffered;
      if (buffered.length > 0 && mayStart?.(buffered[0]!) === false) {
        throw new SyntaxError("Unexpected first byte");
      }
      const end = buffered.indexOf(LF, from) + 1;
      if (end > 0 && end <= limit) {
        this.#buffered = buffered.subarray(end);
        return buffered.subarray(0, end);
      }
      if (buffered.length >= limit) throw new RangeError(`No line end within ${limit} bytes`);
      from = buffered.length;
      const chunk = new Uint8Array(512);
      const count = await this.#conn.read(chunk);
      if (count !== null) this.#onReceived?.();
      if (count !== null) this.#buffered = concat(buffered, chunk.subarray(0, count));
      else if (buffered.length === 0) return null;
      else throw new Error("The stream ended in the middle of a line");
    }
  }

  /** The bytes that were read but not returned by `line`. The caller takes ownership. */
  rest(): Uint8Array<ArrayBuffer> {
    const rest = this.#buffered;
    this.#buffered = EMPTY;
    return rest.length > 0 ? rest : EMPTY;
  }
}

function concat(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
