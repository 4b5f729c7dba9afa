// A connection of the runner: sends bytes, receives a line and then frames, each with a timeout. The only
// module that uses sockets.

import { type Frame, readFrame } from "./header.ts";

/** The peer violated an expectation. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** What was received instead of data. */
export type End = "the end of the stream" | "a reset";

/** A socket, split into lines and frames. */
export class Wire implements Disposable {
  /** The largest frame that the peer may send, in bytes. */
  maxFrameBytes = 4_194_304;
  readonly #socket: Deno.Conn;
  /** Timeout of each wait, in ms. */
  readonly patience: number;
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** A pending read whose wait has timed out. */
  #reading: Promise<number | null> | undefined;
  readonly #chunk = new Uint8Array(65_536);
  #end: End | undefined;
  #closed = false;

  constructor(socket: Deno.Conn, patience: number) {
    this.#socket = socket;
    this.patience = patience;
  }

  /** Sends all of `bytes`; with `cut`, in writes of that many bytes. */
  async send(bytes: Uint8Array, cut = bytes.length): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.#socket.write(bytes.subarray(at, at + cut));
    } catch {
      // The peer may have ended the connection; the next read shows why.
    }
  }

  /** Ends this side's stream. */
  async end(): Promise<void> {
    await this.#socket.closeWrite().catch(() => {});
  }

  /** Receives a line, without its LF, of at most 4096 bytes including it, or the end of the stream. */
  async line(): Promise<string | End> {
    for (;;) {
      const at = this.#buffer.indexOf(10);
      if (at >= 4096 || at < 0 && this.#buffer.length >= 4096) {
        throw new Failure("a line of more than 4096 bytes");
      }
      if (at >= 0) {
        const line = this.#buffer.subarray(0, at);
        this.#buffer = this.#buffer.subarray(at + 1);
        try {
          return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line);
        } catch {
          throw new Failure("a line that is not UTF-8");
        }
      }
      if (!await this.#readMore("a line")) return this.#ended("inside a line");
    }
  }

  /** Receives a frame, or the end of the stream. */
  async frame(what: string): Promise<Frame | End> {
    while (this.#buffer.length < 5) {
      if (this.#buffer.length > 0 && this.#buffer[0] !== 0x5a) {
        throw new Failure(`a frame that begins with 0x${this.#buffer.subarray(0, 1).toHex()}`);
      }
      if (!await this.#readMore(what)) return this.#ended("inside a frame's head");
    }
    const length = new DataView(this.#buffer.buffer, this.#buffer.byteOffset).getUint32(1);
    if (this.#buffer[0] !== 0x5a) {
      throw new Failure(`a frame that begins with 0x${this.#buffer.subarray(0, 1).toHex()}`);
    }
    if (length === 0) throw new Failure("a frame of length 0");
    if (length > this.maxFrameBytes) {
      throw new Failure(`a frame of ${length} bytes, more than ${this.maxFrameBytes}`);
    }
    while (this.#buffer.length < 5 + length) {
      if (!await this.#readMore("the rest of a frame")) return this.#ended("inside a frame");
    }
    const content = this.#buffer.subarray(5, 5 + length);
    this.#buffer = this.#buffer.subarray(5 + length);
    try {
      return readFrame(content);
    } catch (error) {
      throw new Failure(
        `a malformed frame: ${(error as Error).message} (${content.toHex().slice(0, 200)})`,
      );
    }
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.#socket.close();
    this.#closed = true;
    this.#reading?.catch(() => {});
  }

  #ended(where: string): End {
    if (this.#buffer.length > 0 && this.#end !== "a reset") {
      throw new Failure(`the end of the stream ${where}`);
    }
    return this.#end!;
  }

  /** Reads more bytes, with the timeout. Returns whether there were any. */
  async #readMore(what: string): Promise<boolean> {
    if (this.#end !== undefined) return false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<"late">((resolve) => timer = setTimeout(resolve, this.patience, "late"));
    try {
      const count = await Promise.race([this.#reading ??= this.#socket.read(this.#chunk), timeout]);
      if (count === "late") throw new Failure(`nothing within ${this.patience} ms, expected ${what}`);
      this.#reading = undefined;
      if (count === null) this.#end = "the end of the stream";
      else this.#hold(this.#chunk.subarray(0, count));
    } catch (error) {
      if (error instanceof Failure) throw error;
      this.#end = "a reset";
    } finally {
      clearTimeout(timer);
    }
    return this.#end === undefined;
  }

  #hold(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#buffer.length + chunk.length);
    joined.set(this.#buffer);
    joined.set(chunk, this.#buffer.length);
    this.#buffer = joined;
  }
}
