// One connection of the runner: bytes out, a line and then frames in, each with a time limit, and nothing guessed. The
// only place that touches sockets.

import { type Frame, readFrame } from "./header.ts";

/** The other side did not do what it had to. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** What came in place of something else. */
export type End = "the end of the stream" | "a reset";

/** A socket, cut into lines and frames. */
export class Wire implements Disposable {
  /** The largest frame that the other side may send. */
  maxFrameBytes = 4_194_304;
  readonly #socket: Deno.Conn;
  /** How long anything is waited for, in ms. */
  readonly patience: number;
  #held: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** A read that was waited for in vain. */
  #reading: Promise<number | null> | undefined;
  readonly #chunk = new Uint8Array(65_536);
  #end: End | undefined;
  #closed = false;

  constructor(socket: Deno.Conn, patience: number) {
    this.#socket = socket;
    this.patience = patience;
  }

  /** Sends all of `bytes`; if `cut`, in writes of that many bytes. */
  async send(bytes: Uint8Array, cut = bytes.length): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.#socket.write(bytes.subarray(at, at + cut));
    } catch {
      // The other side may have ended for a good reason, which will be read.
    }
  }

  /** Sends the end of the stream. */
  async end(): Promise<void> {
    await this.#socket.closeWrite().catch(() => {});
  }

  /** The next line without its LF, of at most 4096 bytes with it, or what came in its place. */
  async line(): Promise<string | End> {
    for (;;) {
      const at = this.#held.indexOf(10);
      if (at >= 4096 || at < 0 && this.#held.length >= 4096) {
        throw new Failure("a line of more than 4096 bytes");
      }
      if (at >= 0) {
        const line = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + 1);
        try {
          return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line);
        } catch {
          throw new Failure("a line that is not UTF-8");
        }
      }
      if (!await this.#more("a line")) return this.#ended("inside a line");
    }
  }

  /** The next frame, or what came in its place. */
  async frame(what: string): Promise<Frame | End> {
    while (this.#held.length < 5) {
      if (this.#held.length > 0 && this.#held[0] !== 0x5a) {
        throw new Failure(`a frame that begins with 0x${this.#held.subarray(0, 1).toHex()}`);
      }
      if (!await this.#more(what)) return this.#ended("inside a frame's head");
    }
    const length = new DataView(this.#held.buffer, this.#held.byteOffset).getUint32(1);
    if (this.#held[0] !== 0x5a) {
      throw new Failure(`a frame that begins with 0x${this.#held.subarray(0, 1).toHex()}`);
    }
    if (length === 0) throw new Failure("a frame of length 0");
    if (length > this.maxFrameBytes) {
      throw new Failure(`a frame of ${length} bytes, more than ${this.maxFrameBytes}`);
    }
    while (this.#held.length < 5 + length) {
      if (!await this.#more("the rest of a frame")) return this.#ended("inside a frame");
    }
    const content = this.#held.subarray(5, 5 + length);
    this.#held = this.#held.subarray(5 + length);
    try {
      return readFrame(content);
    } catch (error) {
      throw new Failure(
        `a frame that breaks the rules: ${(error as Error).message} (${content.toHex().slice(0, 200)})`,
      );
    }
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.#socket.close();
    this.#closed = true;
    this.#reading?.catch(() => {});
  }

  #ended(where: string): End {
    if (this.#held.length > 0 && this.#end !== "a reset") throw new Failure(`the end of the stream ${where}`);
    return this.#end!;
  }

  /** Reads more, in time. Returns whether there was any. */
  async #more(what: string): Promise<boolean> {
    if (this.#end !== undefined) return false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => timer = setTimeout(resolve, this.patience, "late"));
    try {
      const count = await Promise.race([this.#reading ??= this.#socket.read(this.#chunk), late]);
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
    const both = new Uint8Array(this.#held.length + chunk.length);
    both.set(this.#held);
    both.set(chunk, this.#held.length);
    this.#held = both;
  }
}
