// Reads what comes before frames: lines and HTTP heads of bounded size. What was read beyond them is kept, since a
// peer may send its first calls along with its option.

import type { Conn } from "./conn.ts";

/** A bounded buffer in front of a Conn, used until frames begin. */
export class LineReader {
  readonly #conn: Conn;
  #held: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  /**
   * Reads up to and including `mark`.
   *
   * @param limit Bytes that may come at most, the mark included
   * @returns What came, the mark included; null if the stream ended before anything came
   * @throws {RangeError} If the mark does not come within the limit
   * @throws {Error} If the stream ends in the middle, or the connection is lost
   */
  async until(mark: Uint8Array, limit: number): Promise<Uint8Array<ArrayBuffer> | null> {
    for (let from = 0;;) {
      const at = indexOf(this.#held, mark, from);
      if (at >= 0 && at + mark.length <= limit) {
        const line = this.#held.slice(0, at + mark.length);
        this.#held = this.#held.subarray(at + mark.length);
        return line;
      }
      if (this.#held.length >= limit) throw new RangeError(`No end within ${limit} bytes`);
      from = Math.max(0, this.#held.length - mark.length + 1);
      if (!await this.#more()) {
        if (this.#held.length === 0) return null;
        throw new Error("The stream ended in the middle of a line");
      }
    }
  }

  /** The next byte, which stays where it is; undefined if the stream has ended. */
  async peek(): Promise<number | undefined> {
    if (this.#held.length === 0) await this.#more();
    return this.#held[0];
  }

  /** The bytes read and not taken, which are somebody else's from now on. */
  rest(): Uint8Array<ArrayBuffer> {
    const rest = this.#held;
    this.#held = new Uint8Array(0);
    return rest;
  }

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(2_048);
    const count = await this.#conn.read(chunk);
    if (count === null) return false;
    const held = new Uint8Array(this.#held.length + count);
    held.set(this.#held);
    held.set(chunk.subarray(0, count), this.#held.length);
    this.#held = held;
    return true;
  }
}

function indexOf(bytes: Uint8Array, mark: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(mark[0]!, from); at >= 0; at = bytes.indexOf(mark[0]!, at + 1)) {
    if (mark.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}
