// One HTTP request that calls a method, from its head to its answer: the requester of the call. What is not used, such as
// the request's signal, metadata or a timer, costs nothing.

import { isRpcError, RpcError } from "../call/error.ts";
import type { Identity } from "../call/handler.ts";
import type { Metadata } from "../call/metadata.ts";
import { deadlineExceeded } from "../call/outcome.ts";
import type { Arriving } from "../server/arrivals.ts";
import type { Entrance, PeerCalls } from "../server/entrance.ts";
import { toRpcError } from "../session/call_runner.ts";
import { IncomingCall, type Requester } from "../session/incoming_call.ts";
import { RecvStream } from "../session/recv_stream.ts";
import { SendStream } from "../session/send_stream.ts";
import { refuseCallBack } from "../session/session_peer.ts";
import { addressOf, type RemoteAddress } from "../transport/unread_responses.ts";
import {
  Answer,
  type ErrorStatus,
  type HeaderList,
  NOT_FOUND,
  STREAM_CURE,
  unsendable,
  UNSUPPORTED,
} from "./answer.ts";
import type { Asked } from "./asked.ts";
import type { AnswerBodyOwner } from "./answer_body.ts";
import { ifSlow } from "./if_slow.ts";
import { HeaderMetadata } from "./metadata_headers.ts";
import { streamForm } from "./negotiate.ts";
import { type BodyOptions, readBody } from "./request_body.ts";
import { RequestItems } from "./request_items.ts";

const TIMEOUT = /^\d{1,10}(?:\.\d+)?$/;
/** For each of so many bytes of a body its client has another second, as for frames. */
const BYTES_A_SECOND = 65_536;

/** One request that is a call. */
export class Exchange implements Requester, BodyOptions, AnswerBodyOwner, Arriving {
  readonly certificate = undefined;
  readonly callBack = refuseCallBack;
  readonly #entrance: Entrance;
  readonly #request: Request;
  /** The address of the client. */
  readonly #from: RemoteAddress | undefined;
  readonly #asked: Asked;
  readonly #cors: HeaderList;
  /** When the request arrived, and when `authenticate` had accepted it, on the clock of `performance.now()`. */
  readonly #received: number;
  readonly #accepted: number;
  identity: Identity | undefined;
  cancel: (() => void) | undefined;
  #deadline = Infinity;
  #answer!: Answer;
  #done = false;
  #arriving = false;
  /** When it began to arrive. */
  #began = 0;
  /** When its arguments are to have arrived. */
  due = Infinity;
  slot = -1;
  #call: IncomingCall | undefined;
  #peer: PeerCalls | undefined;
  #items: RequestItems | undefined;
  /** The status of an error that is the request's fault. */
  #special: ErrorStatus | undefined;

  constructor(
    entrance: Entrance,
    request: Request,
    from: RemoteAddress | undefined,
    asked: Asked,
    identity: Identity | undefined,
    cors: HeaderList,
    received: number,
    accepted: number,
  ) {
    this.#entrance = entrance;
    this.#request = request;
    this.#from = from;
    this.#asked = asked;
    this.identity = identity;
    this.#cors = cors;
    this.#received = received;
    this.#accepted = accepted;
  }

  /** Answers the request. Never rejects. */
  respond(): Promise<Response> {
    return new Promise((resolve) => {
      this.#answer = new Answer(resolve, this.#asked.form, this.#cors, this);
      try {
        this.#begin();
      } catch (error) {
        this.#count(error);
        this.#refuse(toRpcError(error));
      }
    });
  }

  /** Answers the request with an error, without a call. */
  refuse(error: RpcError): Promise<Response> {
    return new Promise((resolve) => {
      this.#answer = new Answer(resolve, this.#asked.form, this.#cors, this);
      this.#refuse(error);
    });
  }

  #begin(): void {
    const { args, query } = this.#asked;
    const { refusal } = this.#entrance;
    if (refusal !== undefined) return this.#refuse(refusal);
    const now = this.#accepted;
    this.#deadline = this.#deadlineFrom(now);
    switch (args) {
      case "items":
        return this.#runStream();
      case "query":
        return this.#run(this.#decode(query!()));
      case "none":
        return this.#run(undefined);
      case "only":
        this.#awaitArrival(now);
        this.#items = this.#requestItems();
        this.#items.only().then((value) => this.#run(value), (error) => this.#failRead(error));
        return;
      default:
        this.#awaitArrival(now);
        readBody(this.#request, this).then((bytes) => this.#runWith(bytes), (error) => this.#failRead(error));
    }
  }

  /** The deadline of the call: the client counts from its request, `handleTimeout` from now, after `authenticate`. */
  #deadlineFrom(now: number): number {
    const { handleTimeout } = this.#entrance.options;
    const limit = handleTimeout === 0 ? Infinity : now + handleTimeout;
    const text = this.#request.headers.get("connect-timeout-ms");
    if (text === null) return limit;
    if (TIMEOUT.test(text)) return Math.min(limit, this.#received + Number(text));
    throw new RpcError(
      "invalid_argument",
      "Cannot use connect-timeout-ms: expected a number of up to 10 digits",
    );
  }

  // Reading arguments.

  get maxBytes(): number {
    return this.#entrance.options.limits.maxFrameBytes;
  }

  onProgress(bytes: number): void {
    // Each part that arrives gives it more time, as for frames.
    const patience = this.#entrance.options.limits.frameTimeout + bytes / BYTES_A_SECOND * 1_000;
    this.due = Math.min(this.#deadline, this.#began + patience);
  }

  #requestItems(): RequestItems {
    const { maxFrameBytes: maxBytes, frameTimeout: itemTimeout } = this.#entrance.options.limits;
    const decode = (bytes: Uint8Array) => this.#decode(bytes);
    return new RequestItems(this.#request, { form: this.#asked.items, maxBytes, itemTimeout, decode });
  }

  #decode(bytes: Uint8Array): unknown {
    // A byte order mark is allowed, and JSON.parse does not take it.
    const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    if (bytes.length === start) return undefined;
    try {
      return this.#entrance.options.json.decode(bytes, start, bytes.length) ?? undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const what = this.#asked.args === "items" ? "an item of the arguments" : "the arguments";
      throw new RpcError("invalid_argument", `Cannot decode ${what} of ${this.#asked.method}: ${why}`);
    }
  }

  #runWith(bytes: Uint8Array): void {
    if (this.#done) return;
    try {
      this.#run(this.#decode(bytes));
    } catch (error) {
      this.#refuse(toRpcError(error));
    }
  }

  /** Counts a limit that the request has met while it arrived. */
  #count(error: unknown): void {
    const { counters } = this.#entrance.options;
    if (!isRpcError(error)) return;
    if (error.code === "resource_exhausted") counters.invalidFrames++;
    if (error.code === "deadline_exceeded") counters.frameTimeout++;
  }

  #failRead(cause: unknown): void {
    if (this.#done) return;
    this.#count(cause);
    this.#refuse(isRpcError(cause) ? cause : new RpcError("canceled", "The request broke off", { cause }));
  }

  onOverdue(ended: RpcError | undefined): void {
    const { method } = this.#asked;
    if (ended !== undefined) return this.#refuse(ended);
    if (this.due >= this.#deadline) return this.#refuse(deadlineExceeded({ method }));
    const message = `The arguments of ${method} did not arrive in time (frameTimeout)`;
    this.#failRead(new RpcError("deadline_exceeded", message));
  }

  #awaitArrival(now: number): void {
    this.#arriving = true;
    this.#began = now;
    this.due = Math.min(this.#deadline, now + this.#entrance.options.limits.frameTimeout);
    this.#entrance.arrivals.add(this, now);
  }

  #arrived(): void {
    if (!this.#arriving) return;
    this.#arriving = false;
    this.cancel = undefined;
    this.#entrance.arrivals.delete(this);
  }

  // Answering the call.

  #runStream(): void {
    const recvStream = new RecvStream();
    const items = this.#items = this.#requestItems();
    // Early, or an upload that is canceled over HTTP/2 seems complete.
    this.#watch();
    this.#run(recvStream, recvStream);
    if (this.#call === undefined || this.#done) return;
    items.into(recvStream).catch((error) => {
      if (this.#call!.answered) return;
      this.#count(error);
      if (isRpcError(error) && error.code === "canceled") this.onLeft();
      else this.#peer!.runner.giveUp(this.#call!, toRpcError(error));
    });
  }

  #run(args: unknown, recvStream?: RecvStream): void {
    if (this.#done) return;
    this.#arrived();
    const entrance = this.#entrance;
    const { method, target } = this.#asked;
    if (entrance.refusal !== undefined) return this.#refuse(entrance.refusal);
    const peer = this.#peer = entrance.peer(this.#from, this.identity);
    const now = performance.now();
    let call: IncomingCall;
    try {
      peer.runner.admit(method, now, this.#deadline, now);
      const found = target ?? entrance.lookup(method, this);
      const metadata = new HeaderMetadata(this.#request.headers);
      call = this.#call = new IncomingCall(
        method,
        this,
        metadata,
        this.#deadline,
        peer.nextSeq(),
        found,
        now,
      );
    } catch (error) {
      return this.#refuse(toRpcError(error));
    }
    call.recvStream = recvStream;
    peer.runner.run(call, args);
    if (this.#done) return;
    // The handler itself has closed the server.
    if (call.answered) {
      return this.#refuse(entrance.refusal ?? new RpcError("unavailable", "The server was closed"));
    }
    if (this.#asked.args !== "items") ifSlow(() => this.#done, () => this.#watch());
  }

  /** Ends the call when the client leaves. */
  #watch(): void {
    const { signal } = this.#request;
    if (signal.aborted) return this.onLeft();
    signal.addEventListener("abort", () => this.onLeft(), { once: true });
  }

  /** The client has left. Also called after answers that were taken. */
  onLeft(): void {
    const call = this.#call;
    if (call !== undefined && !call.answered) {
      this.#peer!.runner.abandon(
        call,
        new RpcError("canceled", `Call of ${call.method} was canceled by its caller`),
      );
    }
    if (this.#done) return;
    this.#finish();
    this.#answer.drop();
  }

  // What handlers see of their caller.

  get connection(): object {
    return this.#peer!;
  }

  get address(): string {
    return addressOf(this.#from);
  }

  now(): number {
    return performance.now();
  }

  // Called by the runner.

  answer(_: IncomingCall, value: unknown, metadata: Metadata | undefined): RpcError | undefined {
    try {
      this.#answer.value(value, metadata);
    } catch (error) {
      return unsendable(error);
    }
    this.#finish();
    return undefined;
  }

  end(_: IncomingCall, metadata: Metadata | undefined): RpcError | undefined {
    try {
      this.#answer.end(metadata);
    } catch (error) {
      return unsendable(error);
    }
    this.#finish();
    return undefined;
  }

  fail(
    { target }: IncomingCall,
    error: RpcError,
    metadata: Metadata | undefined,
    notStarted: boolean,
  ): RpcError | undefined {
    this.#finish();
    return this.#answer.error(error, metadata, notStarted && target.unknown ? NOT_FOUND : this.#special);
  }

  openStream(call: IncomingCall): SendStream {
    const { runner } = this.#peer!;
    // Without a contract, only now is it known that the answer is a stream.
    const form = this.#asked.form ?? streamForm(this.#request.headers);
    if (form !== undefined) {
      this.#answer.open(form);
    } else {
      this.#special = UNSUPPORTED;
      runner.giveUp(call, new RpcError("unknown", `${call.method} answers with a stream: ${STREAM_CURE}`));
    }
    return new SendStream({
      hasRoom: () => true,
      streaming() {},
      writeItem: (item) => {
        try {
          return this.#answer.item(item);
        } catch (error) {
          return void runner.failUnsent(call, unsendable(error), "an item");
        }
      },
    });
  }

  /** The client's side has taken items of the answer. */
  onTaken(items: number, bytes: number): void {
    this.#call?.sendStream?.credit(items, bytes);
  }

  /** Answers a call whose handler was not started. */
  #refuse(error: RpcError): void {
    if (this.#done) return;
    this.#finish();
    this.#answer.error(
      error,
      undefined,
      this.#asked.target === undefined && error.code === "unimplemented" ? NOT_FOUND : undefined,
    );
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#items?.stop();
    this.cancel?.();
    this.#arrived();
  }
}
