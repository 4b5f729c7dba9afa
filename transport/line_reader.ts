// Reads what comes before frames: lines and HTTP heads of bounded size. What was read beyond them is kept, since a
// peer may send its first calls along with its option.

import type { Conn } from "./conn.ts";

const LF = 10;
const EMPTY = new Uint8Array(0);

/** A bounded buffer in front of a Conn, used until frames begin. */
export class LineReader {
  readonly #conn: Conn;
  #held: Uint8Array<ArrayBuffer> = EMPTY;

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  /**
   * Reads up to and including an LF.
   *
   * @param limit Bytes that may come at most, the LF included
   * @param mayStart Whether the first byte may be this one: another ends the wait, since its sender may never send an LF
   * @returns What came, the LF included; null if the stream ended before anything came
   * @throws {SyntaxError} If the first byte is another
   * @throws {RangeError} If the LF does not come within the limit
   * @throws {Error} If the stream ends in the middle, or the connection is lost
   */
  async line(limit: number, mayStart?: (byte: number) => boolean): Promise<Uint8Array<ArrayBuffer> | null> {
    for (let from = 0;;) {
      const held = this.#held;
      if (held.length > 0 && mayStart?.(held[0]!) === false) throw new SyntaxError("Not what was expected");
      const end = held.indexOf(LF, from) + 1;
      if (end > 0 && end <= limit) {
        this.#held = held.subarray(end);
        return held.subarray(0, end);
      }
      if (held.length >= limit) throw new RangeError(`No end within ${limit} bytes`);
      from = held.length;
      const chunk = new Uint8Array(512);
      const count = await this.#conn.read(chunk);
      if (count !== null) this.#held = joined(held, chunk.subarray(0, count));
      else if (held.length === 0) return null;
      else throw new Error("The stream ended in the middle of a line");
    }
  }

  /** The bytes read and not taken, which are somebody else's from now on. */
  rest(): Uint8Array<ArrayBuffer> {
    const rest = this.#held;
    this.#held = EMPTY;
    return rest.length > 0 ? rest : EMPTY;
  }
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
