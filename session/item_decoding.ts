// Decoding the items of a stream that is received, for both halves of a session: at once, or when the consumer takes them.

import type { Codec } from "../codec/codec.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import type { RpcError } from "../call/error.ts";
import { MAX_EAGER_BYTES, type RecvStream } from "./recv_stream.ts";

/** Ends calls of which an item cannot be decoded. */
export interface ItemOwner<C> {
  /** Ends the call, and returns the error that it ended with. */
  failUndecodable(call: C, cause: unknown): RpcError;
}

/**
 * Passes an Item to its stream. A long one that the consumer does not wait for is kept as bytes, which
 * take less memory than values.
 *
 * @throws {RpcError} If there was no credit for it, or the stream has ended: a protocol error
 */
export function receiveItem<C>(
  frame: FrameDecoder,
  codec: Codec,
  owner: ItemOwner<C>,
  call: C,
  stream: RecvStream,
): void {
  const { bytes, bodyStart, bodyEnd } = frame;
  const size = bodyEnd - bodyStart;
  if (!stream.spend(size)) return;
  if (size > MAX_EAGER_BYTES && !stream.awaited) {
    return stream.pushUnread(decodingLater(bytes.slice(bodyStart, bodyEnd), codec, owner, call), size);
  }
  let item: unknown;
  try {
    item = size > 0 ? codec.decode(bytes, bodyStart, bodyEnd) : undefined;
  } catch (cause) {
    owner.failUndecodable(call, cause);
    return;
  }
  stream.push(item, size);
}

/** In a function of its own: making a closure allocates a context for its variables as soon as the function is entered. */
function decodingLater<C>(bytes: Uint8Array, codec: Codec, owner: ItemOwner<C>, call: C): () => unknown {
  return () => {
    try {
      return codec.decode(bytes, 0, bytes.length);
    } catch (cause) {
      throw owner.failUndecodable(call, cause);
    }
  };
}
