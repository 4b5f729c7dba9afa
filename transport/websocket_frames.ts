// Frames of the WebSocket protocol (RFC 6455 section 5), without extensions: their heads, their masks, and a reader that
// cuts them out of a byte stream in place. Used by websocket_conn.ts, which does the I/O.

/** The kinds of frames. */
export const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9, Pong: 10 } as const;

/** Why a connection is closed. */
export const CloseStatus = {
  Normal: 1_000,
  ProtocolError: 1_002,
  Unsupported: 1_003,
  /** A Close frame without a status; never sent. */
  None: 1_005,
  /** No Close frame; never sent. */
  Abnormal: 1_006,
  InvalidText: 1_007,
  PolicyViolation: 1_008,
  TooBig: 1_009,
} as const;

/** The longest head: 2 bytes, a length of 8 and a mask of 4. */
const MAX_HEAD_BYTES = 14;
/** The longest payload of a control frame. */
const MAX_CONTROL_BYTES = 125;
/** Below this many bytes, a view for whole words costs more than it saves. */
const WORDWISE = 64;
/** Control frames and empty ones taken within a second. */
const MAX_IDLE_FRAMES = 1_024;

/** A side has closed a WebSocket over a broken rule or an exceeded limit of the other's. Sessions count and log it. */
export class WebSocketFault extends Error {
  override readonly name = "WebSocketFault";

  /** @param status What the Close frame says, one of {@linkcode CloseStatus} */
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** What arrives besides data. The payload is valid during the call only. */
export type OnControl = (opcode: number, payload: Uint8Array<ArrayBuffer>) => void;

/** Cuts frames out of a byte stream. Any split of the bytes gives the same payloads. */
export class WebSocketReader {
  readonly #masked: boolean;
  readonly #maxMessageBytes: number;
  readonly #onControl: OnControl;
  readonly #head = new Uint8Array(MAX_HEAD_BYTES);
  #headLength = 0;
  #headNeeded = 2;
  /** Payload bytes of the current frame that have not arrived. */
  #left = 0;
  #opcode: number = Opcode.Binary;
  #final = true;
  /** Where in the mask the next byte of payload is. */
  #phase = 0;
  /** Whether a message has begun whose last frame has not. */
  #fragmented = false;
  #messageBytes = 0;
  /** The payload of the current control frame. */
  #control: Uint8Array<ArrayBuffer> | undefined;
  #controlLength = 0;
  #idleFrames = 0;
  #idleSince = performance.now();
  #closed = false;
  /** What the peer did wrong: the connection cannot go on. */
  fault: WebSocketFault | undefined;

  /**
   * @param masked Whether frames have to be masked, as a client's have; if not, none may be
   * @param maxMessageBytes The longest message taken
   * @param onControl Called for each Ping, Pong and Close frame
   */
  constructor(masked: boolean, maxMessageBytes: number, onControl: OnControl) {
    this.#masked = masked;
    this.#maxMessageBytes = maxMessageBytes;
    this.#onControl = onControl;
  }

  /**
   * Takes the first `count` bytes and moves the payload of data frames in them to the front. What follows a Close frame
   * or a {@linkcode WebSocketReader.fault} is dropped.
   *
   * @returns How many bytes of payload there are
   */
  take(bytes: Uint8Array<ArrayBuffer>, count: number): number {
    let length = 0;
    try {
      for (let at = 0; at < count && !this.#closed;) {
        if (this.#left === 0) {
          at = this.#takeHead(bytes, at, count);
          if (this.#headLength < this.#headNeeded) break;
          this.#begin();
        }
        const end = Math.min(at + this.#left, count);
        if (end > at) {
          this.#takePayload(bytes, at, end, length);
          if (this.#control === undefined) length += end - at;
          this.#left -= end - at;
          at = end;
        }
        if (this.#left === 0) this.#end();
      }
    } catch (error) {
      if (!(error instanceof WebSocketFault)) throw error;
      this.fault = error;
      this.#closed = true;
    }
    return length;
  }

  #takePayload(bytes: Uint8Array<ArrayBuffer>, at: number, end: number, to: number): void {
    if (this.#masked) this.#phase = mask(bytes, at, end, this.#head, this.#headLength - 4, this.#phase);
    if (this.#control !== undefined) {
      this.#control.set(bytes.subarray(at, end), this.#controlLength);
      this.#controlLength += end - at;
    } else if (to !== at) bytes.copyWithin(to, at, end);
  }

  #takeHead(bytes: Uint8Array, at: number, count: number): number {
    const head = this.#head;
    while (at < count && this.#headLength < this.#headNeeded) {
      head[this.#headLength++] = bytes[at++]!;
      if (this.#headLength === 2) this.#headNeeded = this.#checkStart(head[0]!, head[1]!);
    }
    return at;
  }

  /** Checks the first two bytes of a head. Returns how long the head is. */
  #checkStart(first: number, second: number): number {
    const opcode = first & 15, length = second & 127;
    const final = first >= 128;
    if ((first & 0x70) !== 0) throw broken("a reserved bit is set");
    if (second >= 128 !== this.#masked) throw broken(this.#masked ? "it is not masked" : "it is masked");
    if (opcode > Opcode.Pong || opcode > Opcode.Binary && opcode < Opcode.Close) {
      throw broken(`unknown opcode ${opcode}`);
    }
    if (opcode >= Opcode.Close) {
      if (!final || length > MAX_CONTROL_BYTES) throw broken("a control frame is too long or a fragment");
    } else {
      if (opcode !== Opcode.Continuation === this.#fragmented) throw broken("fragments are out of order");
      if (opcode === Opcode.Text) {
        throw new WebSocketFault(CloseStatus.Unsupported, "expected binary messages");
      }
      if (!this.#fragmented) this.#messageBytes = 0;
      this.#fragmented = !final;
    }
    this.#opcode = opcode;
    return 2 + (length < 126 ? 0 : length === 126 ? 2 : 8) + (this.#masked ? 4 : 0);
  }

  /** The head is complete. */
  #begin(): void {
    const head = this.#head;
    let length = head[1]! & 127;
    if (length > 125) {
      const end = length === 126 ? 4 : 10;
      length = 0;
      for (let i = 2; i < end; i++) length = length * 256 + head[i]!;
    }
    this.#left = length;
    this.#phase = 0;
    if (this.#opcode >= Opcode.Close) {
      this.#control = new Uint8Array(length);
      this.#controlLength = 0;
    } else {
      this.#messageBytes += length;
      if (this.#messageBytes > this.#maxMessageBytes) {
        throw new WebSocketFault(CloseStatus.TooBig, `a message is over ${this.#maxMessageBytes} bytes`);
      }
    }
    if (length === 0 || this.#control !== undefined) this.#countIdle();
  }

  #end(): void {
    this.#headLength = 0;
    this.#headNeeded = 2;
    const control = this.#control;
    if (control === undefined) return;
    this.#control = undefined;
    if (this.#opcode === Opcode.Close) this.#closed = true;
    this.#onControl(this.#opcode, control);
  }

  /** Counts a frame that carries nothing, of which a peer must not send too many. */
  #countIdle(): void {
    if (++this.#idleFrames <= MAX_IDLE_FRAMES) return;
    const now = performance.now();
    if (now - this.#idleSince < 1_000) {
      throw new WebSocketFault(CloseStatus.PolicyViolation, "too many control frames or empty frames");
    }
    this.#idleSince = now;
    this.#idleFrames = 0;
  }
}

function broken(what: string): WebSocketFault {
  return new WebSocketFault(CloseStatus.ProtocolError, `a frame breaks the protocol: ${what}`);
}

/**
 * Reads the payload of a Close frame.
 *
 * @throws {WebSocketFault} If it is malformed
 */
export function readClose(payload: Uint8Array): { status: number; reason: string } {
  if (payload.length === 0) return { status: CloseStatus.None, reason: "" };
  const status = payload[0]! << 8 | payload[1]!;
  if (payload.length === 1 || !isSendable(status)) throw broken("the status of a Close frame is invalid");
  try {
    return { status, reason: new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2)) };
  } catch {
    throw new WebSocketFault(CloseStatus.InvalidText, "the reason in a Close frame is not UTF-8");
  }
}

/** Whether a Close frame may say so (RFC 6455 section 7.4). */
function isSendable(status: number): boolean {
  return status >= 3_000
    ? status < 5_000
    : status >= 1_000 && status < 1_015 && !(status >= 1_004 && status < 1_007);
}

/** Why a WebSocket has ended that the other side has closed, or left without a Close frame. */
export function closedWith(status: number, reason = ""): Error {
  const message = `The WebSocket was closed with status ${status}${reason && `: ${reason}`}`;
  return isFault(status) ? new WebSocketFault(status, message) : new Error(message);
}

/** Whether a status says that this side did something wrong. In browsers, programs have only those from 3000 on. */
function isFault(status: number): boolean {
  const standard = status >= 4_000 ? status - 3_000 : status;
  return standard >= CloseStatus.ProtocolError && standard <= CloseStatus.Unsupported ||
    standard >= CloseStatus.InvalidText && standard <= CloseStatus.TooBig;
}

/**
 * Writes the head of a frame that is the last of its message.
 *
 * @param key The mask; absent where frames are not masked
 * @returns Where the payload begins
 */
export function writeHead(
  into: Uint8Array,
  at: number,
  opcode: number,
  length: number,
  key?: Uint8Array,
): number {
  const masked = key === undefined ? 0 : 128;
  into[at++] = 128 | opcode;
  if (length < 126) into[at++] = masked | length;
  else {
    const long = length > 0xffff;
    into[at++] = masked | (long ? 127 : 126);
    for (let i = long ? 7 : 1; i >= 0; i--) into[at++] = Math.floor(length / 256 ** i) % 256;
  }
  if (key === undefined) return at;
  into.set(key, at);
  return at + 4;
}

/** How long the head of a frame is. */
export function headLength(length: number, masked: boolean): number {
  return 2 + (length < 126 ? 0 : length > 0xffff ? 8 : 2) + (masked ? 4 : 0);
}

/**
 * Masks or unmasks the bytes from `at` to `end`: the same thing.
 *
 * @param key Holds the mask, from `keyAt` on
 * @param phase Where in the mask the first byte is
 * @returns Where in the mask the next byte is
 */
export function mask(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  end: number,
  key: Uint8Array,
  keyAt: number,
  phase: number,
): number {
  const next = phase + end - at & 3;
  if (end - at >= WORDWISE) {
    while ((bytes.byteOffset + at & 3) !== 0) bytes[at++]! ^= key[keyAt + (phase++ & 3)]!;
    const count = end - at >> 2;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, count);
    // Turned so that it begins with the phase, in whatever order this machine has bytes in words.
    const [word] = new Uint32Array(
      Uint8Array.from({ length: 4 }, (_, i) => key[keyAt + (phase + i & 3)]!).buffer,
    );
    for (let i = 0; i < count; i++) words[i]! ^= word!;
    at += count * 4;
  }
  for (; at < end; at++) bytes[at]! ^= key[keyAt + (phase++ & 3)]!;
  return next;
}
