// The streams of the calls that one side of a session makes: arguments that are sent, answers that are received. Owned by
// the caller's half of a session.

import { isRpcError, RpcError } from "../call/error.ts";
import type { Streamable } from "../call/streamable.ts";
import type { Codec } from "../codec/codec.ts";
import { Kind, writeCredit, writeShort } from "../codec/frame.ts";
import { type FrameWriter, textOf } from "./frame_writer.ts";
import { itemDecoder } from "./item_buffer.ts";
import type { RecvStream } from "./recv_stream.ts";
import { SendStream } from "./send_stream.ts";
import type { SessionCall } from "./session_call.ts";
import type { ConnectionWindows } from "./window_budget.ts";

/** What the streams of calls work with. */
export interface CallerStreamsParts {
  readonly frameWriter: FrameWriter;
  readonly codec: Codec;
  /** While more bytes than this wait to be written, no items are sent. */
  readonly maxUnsent: number;
  /** What the windows of answers may grow from; counts streams. */
  readonly windows: ConnectionWindows;
  /** Ends a call without an answer. */
  readonly abandon: (call: SessionCall, error: RpcError) => void;
}

/** Connects streams with their calls. */
export class CallerStreams {
  readonly #parts: CallerStreamsParts;

  constructor(parts: CallerStreamsParts) {
    this.#parts = parts;
  }

  /** Receives the answer of a call. */
  receive(call: SessionCall, recvStream: RecvStream, isWaiting: () => boolean): void {
    const { frameWriter, codec, windows, abandon } = this.#parts;
    recvStream.attach({
      grant: (items, bytes) => writeCredit(frameWriter.beginFrame(), call.seq, items, bytes),
      decode: itemDecoder(codec, (cause) => {
        const error = undecodable(frameWriter, "an item", call, cause);
        abandon(call, error);
        return error;
      }),
      consumerLeft: () => {
        if (call.seq === 0 && !isWaiting()) return;
        abandon(call, new RpcError("canceled", `The caller closed the stream of ${call.method}`));
      },
    }, windows);
  }

  /** Sends the arguments of a call. */
  async send(call: SessionCall, source: Streamable): Promise<void> {
    const { frameWriter, maxUnsent, windows, abandon } = this.#parts;
    const sink = frameWriter.streamSink(call.seq, call.method, maxUnsent, (error) => abandon(call, error));
    windows.streams++;
    const stopped = () => {
      windows.streams--;
      sink.stopped?.();
    };
    const stream = call.sendStream = new SendStream({ ...sink, stopped });
    try {
      if (await stream.send(source)) writeShort(frameWriter.beginFrame(), Kind.End, call.seq);
    } catch (error) {
      const message = `The arguments of ${call.method} failed: ${textOf(error)}`;
      abandon(call, isRpcError(error) ? error : new RpcError("canceled", message, { cause: error }));
    }
  }
}

/** The error of a call whose caller expects one value, and whose answer is a stream. */
export function unexpectedStream({ method }: SessionCall): RpcError {
  return new RpcError("unimplemented", `${method} answers with a stream: use stream()`);
}

/** The error of a call whose answer, or an item of it, was rejected. */
export function undecodable(
  { messageLog }: FrameWriter,
  what: "the result" | "an item",
  { method }: SessionCall,
  cause: unknown,
): RpcError {
  messageLog.rejected(method, cause);
  return new RpcError("data_loss", `Cannot decode ${what} of ${method}: ${textOf(cause)}`, { cause });
}
