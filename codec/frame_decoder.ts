// Decodes frames, without I/O: the read loop fills `space()`, reports how much by `filled()`, and calls `next()` for each
// frame. The result does not depend on how the bytes are split. Owns the receive buffer: frames are decoded in place, and
// a declared length is never allocated before that many bytes have arrived.

import { type Code, isCode, RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import { FRAME_HEAD_BYTES, FRAME_MARK, Kind, MAX_HEADER_BYTES } from "./frame.ts";
import { HeaderReader, malformed } from "./header_reader.ts";
import type { KeyCache } from "./key_cache.ts";

/** Size of the receive buffer of an idle connection: that of a small call. */
const SMALL = 128;
/** Size of the receive buffer of a busy connection, unless a single frame needs more. */
const LARGE = 262_144;
/** Growth factor when one read nearly fills the buffer. Bytes left in the kernel are invisible to `maxQueueTime`, so read them early. */
const GROWTH = 8;

/**
 * Cuts frames out of a byte stream and decodes their headers. The fields hold the frame that `next()` found last; which of
 * them are valid depends on `kind`.
 */
export class FrameDecoder {
  /** Its kind. */
  kind: Kind = Kind.Call;
  /** The call that the frame belongs to; the number of a Ping or Pong; the last call of a GoAway. */
  seq = 0;
  /** Call: the method's name. */
  method = "";
  /** Call: remaining time in ms, 0 = no limit. */
  timeout = 0;
  /** Call, Reply, Error, End: the metadata, if any. */
  metadata: Metadata | undefined = undefined;
  /** Error, GoAway: the reason. */
  code: Code = "unknown";
  /** Error, GoAway: why, as text. */
  message = "";
  /** Credit: how many more items may be sent. */
  items = 0;
  /** Credit: how many more bytes may be sent. */
  creditBytes = 0;
  /** The buffer with the body, valid until the next `space()`. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Start of the body in `bytes`; equal to `bodyEnd` if there is no body. */
  bodyStart = 0;
  /** End of the body in `bytes`. */
  bodyEnd = 0;

  readonly #maxFrameBytes: number;
  readonly #header: HeaderReader;
  /** Received bytes that are not decoded yet are from `#begin` to `#end`. */
  #begin = 0;
  #end = 0;
  #wanted = SMALL;

  /**
   * @param maxFrameBytes The longest frame taken, without its five-byte head
   * @param names The names seen recently, which may be shared with other decoders
   * @param prefix Bytes that arrived after the handshake
   */
  constructor(maxFrameBytes: number, names: KeyCache, prefix: Uint8Array = new Uint8Array(0)) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#header = new HeaderReader(names);
    this.bytes = new Uint8Array(Math.max(SMALL, prefix.length));
    this.bytes.set(prefix);
    this.#end = prefix.length;
  }

  /** Number of received bytes of an incomplete frame, its head included. */
  get partial(): number {
    return this.#end - this.#begin;
  }

  /** The part of the buffer to read into. Invalidates the last frame's body. */
  space(): Uint8Array<ArrayBuffer> {
    const pending = this.#end - this.#begin;
    let capacity = this.bytes.length;
    if (pending === 0) {
      this.#begin = this.#end = 0;
      if (this.#wanted !== capacity) this.bytes = new Uint8Array(this.#wanted);
    } else if (this.#wanted > capacity || capacity - this.#end < capacity >> 1) {
      // Moves the bytes to the front when half of the room is used up, or into a larger buffer when reads or pending bytes fill
      // this one. A long frame gets room as it arrives, not as it is declared.
      if (pending > capacity >> 1) capacity = Math.min(capacity * 2, this.#frameEnd() + SMALL);
      capacity = Math.max(this.bytes.length, this.#wanted, capacity);
      const target = capacity === this.bytes.length ? this.bytes : new Uint8Array(capacity);
      target.set(this.bytes.subarray(this.#begin, this.#end));
      this.bytes = target;
      this.#begin = 0;
      this.#end = pending;
    }
    return this.#end === 0 ? this.bytes : this.bytes.subarray(this.#end);
  }

  /** The length of the unfinished frame with its head, or a minimum while that is unknown. */
  #frameEnd(): number {
    const at = this.#begin;
    const bytes = this.bytes;
    if (this.#end - at < FRAME_HEAD_BYTES) return SMALL;
    return FRAME_HEAD_BYTES + (((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) |
      bytes[at + 4]!) >>> 0);
  }

  /** Reports that `count` bytes were read into what `space()` returned. */
  filled(count: number): void {
    this.#end += count;
    // Of what a read takes in, a WebSocket keeps the heads of its frames.
    const { length } = this.bytes;
    if (length - this.#end <= length >> 3) this.#wanted = Math.min(length * GROWTH, LARGE);
  }

  /** Returns to a small buffer as soon as no bytes are pending. Called when the connection has become idle. */
  trim(): void {
    this.#wanted = SMALL;
  }

  /**
   * Decodes the header of the next frame into the fields.
   *
   * @returns Whether there was a whole frame
   * @throws {RpcError} If the bytes break the protocol; the connection has to be closed
   */
  next(): boolean {
    const begin = this.#begin;
    const pending = this.#end - begin;
    if (pending === 0) return false;
    const bytes = this.bytes;
    if (bytes[begin] !== FRAME_MARK) {
      throw malformed(
        `expected byte 0x5a at its start, got 0x${bytes[begin]!.toString(16).padStart(2, "0")}`,
      );
    }
    if (pending < FRAME_HEAD_BYTES) return false;
    const length = this.#frameEnd() - FRAME_HEAD_BYTES;
    if (length > this.#maxFrameBytes) {
      throw new RpcError(
        "resource_exhausted",
        `Cannot decode frame: ${length} bytes are more than ${this.#maxFrameBytes} (maxFrameBytes)`,
      );
    }
    if (length === 0) throw malformed("its length is 0");
    const end = begin + FRAME_HEAD_BYTES + length;
    if (end > this.#end) return false;
    this.#begin = end;
    this.#read(begin + FRAME_HEAD_BYTES, end);
    return true;
  }

  #read(start: number, end: number): void {
    const header = this.#header;
    const limited = end - start > MAX_HEADER_BYTES;
    header.start(this.bytes, start, limited ? start + MAX_HEADER_BYTES : end, limited);
    const elements = header.array();
    if (elements < 2) throw malformed(`its header has ${elements} elements`);
    const kind = this.kind = header.uint("the kind") as Kind;
    this.seq = header.uint("the call's number");
    let hasBody = false;
    switch (kind) {
      case Kind.Call:
        expectElements(elements, 4, 5);
        this.method = header.text("the method");
        this.timeout = header.uint("the timeout");
        this.metadata = elements === 5 ? header.metadata() : undefined;
        hasBody = true;
        break;
      case Kind.Reply:
        expectElements(elements, 2, 3);
        this.metadata = elements === 3 ? header.metadata() : undefined;
        hasBody = true;
        break;
      case Kind.Error:
        expectElements(elements, 4, 5);
        this.#readReason(header);
        this.metadata = elements === 5 ? header.metadata() : undefined;
        hasBody = true;
        break;
      case Kind.Item:
        expectElements(elements, 2, 2);
        hasBody = true;
        break;
      case Kind.Credit:
        expectElements(elements, 4, 4);
        this.items = header.uint("the items of credit");
        this.creditBytes = header.uint("the bytes of credit");
        break;
      case Kind.GoAway:
        expectElements(elements, 4, 4);
        this.#readReason(header);
        break;
      case Kind.End:
        expectElements(elements, 2, 3);
        this.metadata = elements === 3 ? header.metadata() : undefined;
        break;
      case Kind.Cancel:
      case Kind.Ping:
      case Kind.Pong:
        expectElements(elements, 2, 2);
        break;
      default:
        throw malformed(`unknown kind ${kind satisfies never}`);
    }
    if (this.seq === 0 && kind < Kind.Ping) throw malformed("the call's number is 0");
    this.bodyStart = header.at;
    this.bodyEnd = end;
    if (!hasBody && header.at !== end) throw malformed("bytes follow a header that has no body");
  }

  #readReason(header: HeaderReader): void {
    const code = header.text("the code");
    this.code = isCode(code) ? code : "unknown";
    this.message = header.text("the message");
  }
}

function expectElements(elements: number, min: number, max: number): void {
  if (elements < min || elements > max) throw malformed(`its header has ${elements} elements`);
}
