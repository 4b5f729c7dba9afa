// The body of a request that carries one value: read under a limit, and inflated if it is compressed.

import { RpcError } from "../call/error.ts";
import { tooLong } from "./envelopes.ts";

/** Bodies whose length is known to be at most this, in bytes, are read in one step. */
const SHORT = 65_536;

/** Compressed bytes that are inflated at once: DEFLATE makes about a thousand bytes of one (RFC 1951). */
const INFLATE_BYTES = 1_024;

/** What is known of the body of a request. */
export interface BodyOptions {
  /** The longest body accepted, in bytes, inflated or not. */
  readonly maxBytes: number;
  /** Called for each part that arrives, with the bytes so far. */
  onProgress(bytes: number): void;
  /** Ends reading; set when reading begins. */
  cancel: (() => void) | undefined;
}

/**
 * Reads a body.
 *
 * @throws {RpcError} `resource_exhausted` if it is too long, `unimplemented` for an unknown coding, `invalid_argument` if
 *   it cannot be inflated
 * @throws If it breaks off
 */
export function readBody(request: Request, options: BodyOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { headers } = request;
  const coding = headers.get("content-encoding");
  const length = headers.get("content-length");
  if (
    coding === null && length !== null && length.length < 6 && +length <= Math.min(SHORT, options.maxBytes)
  ) {
    return request.bytes();
  }
  const compressed = isCompressed(coding);
  const { maxBytes } = options;
  if (length !== null && Number(length) > maxBytes) throw tooLong("the body", maxBytes);
  if (request.body === null) return Promise.resolve(new Uint8Array());
  const reader = request.body.getReader();
  options.cancel = () => void reader.cancel().catch(() => {});
  const bytes = collect(reader, maxBytes, options);
  return compressed ? bytes.then((bytes) => inflate(bytes, maxBytes)) : bytes;
}

/**
 * Whether a coding is the one that is known.
 *
 * @throws {RpcError} `unimplemented` if it is another
 */
export function isCompressed(coding: string | null): boolean {
  if (coding === null || coding === "identity" || coding === "") return false;
  if (coding === "gzip") return true;
  const shown = JSON.stringify(coding.slice(0, 64));
  throw new RpcError(
    "unimplemented",
    `Cannot read the request: unknown coding ${shown}; known are gzip, identity`,
  );
}

/**
 * Inflates a message.
 *
 * @throws {RpcError} `resource_exhausted` if it becomes too long, `invalid_argument` if it is not gzip
 */
export async function inflate(
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes.length === 0) return bytes;
  const inflated = slicesOf(bytes).pipeThrough(new DecompressionStream("gzip"));
  try {
    return await collect(inflated.getReader(), maxBytes);
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw new RpcError("invalid_argument", "Cannot read the request: it is not gzip", { cause: error });
  }
}

/** Reads all that is left. With callbacks: a loop in an async function takes 2 µs more, for a body of one part. */
function collect(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  maxBytes: number,
  options?: BodyOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    let held = new Uint8Array();
    let length = 0;
    const readNext = () => void reader.read().then(take, reject);
    const take = ({ done, value }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>) => {
      if (done) return resolve(held.length === length ? held : held.subarray(0, length));
      const end = length + value.length;
      if (end > maxBytes) {
        reader.cancel().catch(() => {});
        return reject(tooLong("the body", maxBytes));
      }
      try {
        held = length === 0 ? value : joined(held, length, value, maxBytes);
      } catch (error) {
        return reject(error);
      }
      length = end;
      options?.onProgress(length);
      readNext();
    };
    readNext();
  });
}

/**
 * `held`, of which `length` bytes are used, and a further part; in a larger buffer if it is too short. Parts are copied,
 * since each keeps a buffer of 64 KiB, however short it is.
 */
function joined(
  held: Uint8Array<ArrayBuffer>,
  length: number,
  part: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const end = length + part.length;
  const all = end > held.length ? grown(held.subarray(0, length), Math.min(maxBytes, 2 * end)) : held;
  all.set(part, length);
  return all;
}

function grown(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(size);
  larger.set(bytes);
  return larger;
}

/** Bytes as a stream of slices so short that a limit of what they inflate to is checked in time. */
function slicesOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += INFLATE_BYTES));
    },
  }, { highWaterMark: 0 });
}
