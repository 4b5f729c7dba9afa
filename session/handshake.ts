// The handshake of both sides: one line of JSON in each direction, limited in time and size. The lines are defined in
// codec/handshake_line.ts; what follows them is up to a Session.

import type { Identity, PeerCertificate } from "../call/handler.ts";
import { isRpcError, RpcError } from "../call/error.ts";
import { checkIdentity } from "../call/identity.ts";
import type { Codec } from "../codec/codec.ts";
import type { CodecTable } from "../codec/table.ts";
import {
  type Answer,
  decodeAnswer,
  decodeOption,
  encodeAnswer,
  encodeOption,
  encodeRefusal,
  MAX_LINE_BYTES,
  type Option,
  refusal,
  shown,
  wireLimit,
} from "../codec/handshake_line.ts";
import { gotInstead, mayStartAnswer } from "../transport/wrong_protocol.ts";
import { type Conn, writeAll } from "../transport/conn.ts";
import type { EarlyCalls } from "./early_calls.ts";
import { eventLoop } from "./event_loop.ts";
import { jittered, type Lifetime } from "./lifetime.ts";
import type { LineReader } from "../transport/line_reader.ts";

/** The accepting side's terms. */
export interface AcceptTerms {
  /** The codecs that a client may request. */
  readonly codecs: CodecTable;
  /** The answer, except what depends on the client's option. Times in ms, sizes in bytes. */
  readonly answer: Omit<Answer, "codecType" | "maxConnectionAge" | "maxConnectionIdle">;
  /** How long connections are kept, before jitter; absent = there is no limit. */
  readonly lifetime?: Lifetime;
  /** Absent = every client is accepted. */
  readonly authenticate?: Authenticate;
}

/**
 * Decides whether a client may connect: `true` or an identity accepts it, `false` or an error refuses it. The client
 * receives the message of an `RpcError`, and nothing of other errors. Handlers see the identity as `context.peer.identity`.
 *
 * @param token The `token` that the client has sent, if any
 * @param peer The client's address, such as `tcp@127.0.0.1:50312`
 * @param certificate The certificate that the client has presented in a TLS handshake, if requested (`tls.clientCaCerts`)
 */
export type Authenticate = (
  token: string | undefined,
  peer: string,
  certificate: PeerCertificate | undefined,
) => boolean | Identity | Promise<boolean | Identity>;

/** The state of a handshake, shared with the acceptor. */
export interface Acceptance {
  /** Resolves when the client does not wait any more, so that a pending `authenticate` is not waited for either. */
  readonly gone: Promise<void>;
  /** Whether the answer, or a refusal, is being written: then no other may be. */
  answered: boolean;
  /** What is being checked, and would be the reason of a refusal. */
  judging: "option" | "codec" | "unauthenticated" | "handshakeTimeout";
}

/** The outcome of a handshake, for the session that follows. */
export interface Agreement {
  /** The codec of the bodies in both directions. */
  readonly codec: Codec;
  /** The longest frame that the peer accepts, in bytes. */
  readonly peerMaxFrameBytes: number;
  /** How many calls the peer accepts at once; Infinity for a client, which does not say. */
  readonly peerMaxInFlight: number;
  /** The silence after which the peer pings, in ms; Infinity or absent = never, or unknown, as for a client. */
  readonly peerHeartbeatInterval?: number;
  /** The time limit of each call that this side answers, in ms; 0 = no limit. */
  readonly handleTimeout: number;
  /** The peer's identity, if `authenticate` has returned one. */
  readonly identity?: Identity;
  /** How long the server keeps the connection; absent = there is no limit. */
  readonly lifetime?: Lifetime;
}

/**
 * The dialing side: sends the option and waits for the answer.
 *
 * @param early Sends the option, followed by calls; undefined = no calls are sent before the answer
 * @throws {RpcError} The server's refusal, or why its answer is invalid
 */
export async function requestHandshake(
  conn: Conn,
  reader: LineReader,
  option: Option,
  codec: Codec,
  early?: EarlyCalls,
): Promise<Agreement> {
  if (early === undefined) await writeAll(conn, encodeOption(option));
  else early.begin(encodeOption(option));
  const line = await readLine(reader, "the server's answer", mayStartAnswer);
  if (line === null) throw refusal("unavailable", "the server ended the connection instead of answering");
  if (gotInstead(line) !== "") throw notJson(line);
  const answer = decodeAnswer(line, option.codecType);
  return {
    codec,
    peerMaxFrameBytes: answer.maxFrameBytes,
    peerMaxInFlight: answer.maxInFlight,
    peerHeartbeatInterval: answer.heartbeatInterval || Infinity,
    handleTimeout: 0,
    lifetime: { maxAge: answer.maxConnectionAge || Infinity, maxIdle: answer.maxConnectionIdle || Infinity },
  };
}

/**
 * The accepting side: reads the option and answers it. When this throws, the refusal was sent.
 *
 * @param state Kept up to date
 * @returns null if the peer closed the connection first, or the acceptor has answered it
 * @throws {RpcError} Why the peer was refused
 */
export async function acceptHandshake(
  conn: Conn,
  reader: LineReader,
  terms: AcceptTerms,
  state: Acceptance,
): Promise<Agreement | null> {
  const began = performance.now();
  try {
    const line = await readLine(reader, "the option", mayStartJson);
    if (line === null) return null;
    await eventLoop.yieldIfDue();
    if (state.answered) return null;
    // Not an object: probably the header of a proxy, whose version 2 begins with empty lines.
    if (line.length <= 1) throw notJson(new Uint8Array([...line, 10, ...reader.rest()]));
    const option = decodeOption(line);
    state.judging = "codec";
    const codec = terms.codecs.get(option.codecType);
    if (codec === undefined) {
      const known = terms.codecs.names.join(", ");
      throw refusal("unimplemented", `codec ${shown(option.codecType)} is unknown here, only ${known}`);
    }
    const { authenticate: ask } = terms;
    state.judging = "unauthenticated";
    const identity = ask === undefined ? undefined : await authenticate(ask, option.token, conn, state.gone);
    state.judging = "handshakeTimeout";
    if (option.connectTimeout > 0 && performance.now() - began > option.connectTimeout) {
      throw refusal("deadline_exceeded", `the client waits no longer than ${option.connectTimeout} ms`);
    }
    const handleTimeout = shorter(option.handleTimeout, terms.answer.handleTimeout);
    if (state.answered) return null;
    state.answered = true;
    const lifetime = terms.lifetime && jittered(terms.lifetime);
    await writeAll(
      conn,
      encodeAnswer({
        ...terms.answer,
        codecType: codec.name,
        handleTimeout,
        maxConnectionAge: wireLimit(lifetime?.maxAge ?? Infinity),
        maxConnectionIdle: wireLimit(lifetime?.maxIdle ?? Infinity),
      }),
    );
    return {
      codec,
      peerMaxFrameBytes: option.maxFrameBytes,
      peerMaxInFlight: Infinity,
      handleTimeout,
      identity,
      lifetime,
    };
  } catch (error) {
    if (error instanceof RpcError && !state.answered) {
      state.answered = true;
      await refuse(conn, error);
    }
    throw error;
  }
}

/** Refuses a peer before its option was read. */
export function refuse(conn: Conn, error: RpcError): Promise<void> {
  return writeAll(conn, encodeRefusal(error));
}

async function authenticate(
  ask: Authenticate,
  token: string | undefined,
  { peer, certificate }: Conn,
  gone: Promise<void>,
): Promise<Identity | undefined> {
  let cause: unknown;
  try {
    const answer = checkIdentity(await Promise.race([ask(token, peer, certificate), gone]) ?? false);
    if (answer !== false) return answer === true ? undefined : answer;
  } catch (error) {
    if (isRpcError(error)) throw error;
    cause = error;
  }
  const missing = token === undefined && certificate === undefined;
  const why = missing ? "the server requires a token (option token)" : "the server rejected the credentials";
  throw refusal("unauthenticated", why, cause);
}

/** Reads a line without its LF; null if the stream ended before anything arrived. */
async function readLine(
  reader: LineReader,
  what: string,
  mayStart: (byte: number) => boolean,
): Promise<Uint8Array | null> {
  try {
    const line = await reader.line(MAX_LINE_BYTES, mayStart);
    return line === null ? null : line.subarray(0, -1);
  } catch (error) {
    if (error instanceof SyntaxError) throw notJson(reader.rest());
    if (error instanceof RangeError) {
      throw refusal("resource_exhausted", `${what} is over ${MAX_LINE_BYTES} bytes`);
    }
    throw error;
  }
}

function notJson(bytes: Uint8Array): RpcError {
  return refusal("invalid_argument", `expected one line of JSON${gotInstead(bytes)}`);
}

/** The shorter of two limits in ms, where 0 means no limit. */
function shorter(a: number, b: number): number {
  if (a === 0) return b;
  return b === 0 ? a : Math.min(a, b);
}

/** Whether a JSON text may begin with this byte. */
function mayStartJson(byte: number): boolean {
  return ' \t\n\r{["-0123456789tfn'.includes(String.fromCharCode(byte));
}
