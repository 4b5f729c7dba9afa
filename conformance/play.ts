// Plays one conversation with an implementation under test, taking the role of its peer. Owns the connection
// meanwhile. Pings are answered and Credit is accepted without being part of a conversation.

import { encode, type Json } from "./cbor.ts";
import { formatFrame, type Frame, framed, writeHeader } from "./header.ts";
import { checkAnswer, checkOption, checkRefusal, isCode, type Line, parseLine } from "./lines.ts";
import { match, settlementMismatch } from "./match.ts";
import {
  type Conversation,
  type Outgoing,
  type Pattern,
  repeated,
  type Role,
  type Settlement,
  type Step,
  substituted,
} from "./script.ts";
import { type End, Failure, type Wire } from "./wire.ts";

/** Access to the implementation under test. */
export interface Subject {
  readonly role: Role;
  /**
   * Opens a connection: to the server under test, or by accepting one that the client is commanded to make.
   *
   * @param option The options that the client must request
   * @returns The connection, and the client's outcome of `connect`
   */
  open(option: Readonly<Record<string, Json>>): Promise<{ wire: Wire; connected?: Promise<Settlement> }>;
  /** Client only: sends a command. */
  execute?(command: Readonly<Record<string, Json>>): Promise<Settlement>;
}

/** The default response of the runner as a server. */
const ANSWER: Line = {
  magicNumber: 3927900,
  version: 1,
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 4194304,
  maxInFlight: 1024,
  heartbeatInterval: 0,
};
/** Maximum bytes sent where a rejection is expected, well below what the rejecting side must read. */
const MAX_SENT = 524_288;
/** The first number of the runner's own Pings. */
const FIRST_PING = 4_000_000;

/** What a conversation has found out about the implementation. */
export interface Findings {
  readonly variables: ReadonlyMap<string, Json>;
  readonly maxInFlight: number;
  readonly heartbeatInterval: number;
}

/**
 * Plays a conversation to its end.
 *
 * @param trace Receives what was sent and received
 * @param found Called with the findings, if the conversation succeeded
 * @throws {Failure} If the implementation violates an expectation
 */
export async function play(
  conversation: Conversation,
  subject: Subject,
  trace: string[],
  found?: (findings: Findings) => void,
): Promise<void> {
  const player = new Player(conversation, subject, trace);
  try {
    await player.play();
    found?.(player);
  } finally {
    await player.cleanUp();
  }
}

class Player implements Findings {
  variables = new Map<string, Json>([["$key", crypto.randomUUID()]]);
  maxInFlight = 1024;
  heartbeatInterval = 0;
  readonly #conversation: Conversation;
  readonly #subject: Subject;
  readonly #trace: string[];
  #wire!: Wire;
  #codec = "application/cbor";
  /** The last number assigned for `$next`. */
  #next: number;
  #pings = FIRST_PING;
  /** The number of the last call made by the implementation. */
  #lastCall = 0;
  /** How many items were granted by Credit. */
  #granted = 0;
  /** The text sent so far, which a server must not repeat. */
  #sent = "";
  readonly #pending = new Map<string, Promise<Settlement>>();

  constructor(conversation: Conversation, subject: Subject, trace: string[]) {
    this.#conversation = conversation;
    this.#subject = subject;
    this.#trace = trace;
    this.#next = subject.role === "server" ? -1 : 0;
  }

  async play(): Promise<void> {
    const { raw, steps, tail } = this.#conversation;
    await this.#open();
    if (!raw) await this.#handshake();
    for (const step of steps) await this.#step(step);
    if (tail === false || steps.some(({ ends, goaway, refuses }) => ends || goaway || refuses)) return;
    if (this.#subject.role === "server") {
      await this.#expectQuiet([]);
      await this.#wire.end();
      await this.#expectEnd([]);
    } else {
      const closed = this.#execute({ do: "close" });
      closed.catch(() => {});
      await this.#expectEnd([{ header: [6, null] }, { header: [10, null, null, null] }], true);
      await closed;
    }
  }

  /** Releases the connection and pending commands, whatever the outcome. */
  async cleanUp(): Promise<void> {
    this.#wire?.[Symbol.dispose]();
    if (this.#subject.role === "client") {
      await this.#execute({ do: "close" }).catch(() => {});
      await Promise.allSettled(this.#pending.values());
    }
  }

  async #open(): Promise<void> {
    const { option = {} } = this.#conversation;
    const { wire, connected } = await this.#subject.open(option);
    this.#wire = wire;
    connected?.catch(() => {});
    if (connected !== undefined) this.#pending.set("connect", connected);
    this.#wire.maxFrameBytes = Number(
      (this.#subject.role === "server" ? this.#conversation.option : this.#conversation.answer)
        ?.maxFrameBytes ??
        4_194_304,
    );
  }

  async #handshake(): Promise<void> {
    const { option, answer } = this.#conversation;
    if (this.#subject.role === "server") {
      await this.#sendText(`${JSON.stringify({ magicNumber: 3927900, ...option })}\n`);
      return this.#expectAcceptance({});
    }
    await this.#expectOption(option ?? {});
    await this.#sendText(`${JSON.stringify({ ...ANSWER, codecType: this.#codec, ...answer })}\n`);
    await this.#expectOutcome("connect", { result: null });
  }

  async #step(step: Step): Promise<void> {
    if (step.send !== undefined) return await this.#send(step);
    if (step.expect !== undefined) {
      const patterns = [step.expect].flat();
      for (let i = 1; i <= this.#times(step); i++) {
        this.variables.set("$i", i);
        await this.#expect(patterns, [...step.allow ?? []]);
      }
      return;
    }
    if (step.answers) return await this.#expectAcceptance(step.answers);
    if (step.asks) return await this.#expectOption(step.asks);
    if (step.refuses) return await this.#expectRejection(step.refuses);
    if (step.quiet) return await this.#expectQuiet([...step.allow ?? []]);
    if (step.goaway) {
      await this.#expect([{ header: [10, step.lastSeq ?? null, step.goaway, null] }], [...step.allow ?? []]);
      return await this.#expectEnd([]);
    }
    if (step.ends) return await this.#expectEnd([...step.allow ?? []]);
    if (step.end) return await this.#wire.end();
    if (step.reconnect) {
      this.#wire[Symbol.dispose]();
      this.#next = -1;
      this.#lastCall = this.#granted = 0;
      await this.#open();
      return await this.#handshake();
    }
    if (step.do) {
      const outcome = this.#execute({ id: step.as!, ...step.do });
      outcome.catch(() => {});
      this.#pending.set(step.as!, outcome);
      return;
    }
    if (step.settles) return await this.#expectOutcome(step.settles, step);
    throw new TypeError(`Cannot play step ${JSON.stringify(step)}`);
  }

  #times({ times = 1 }: Step): number {
    return times === "maxInFlight" ? this.maxInFlight : times === "granted" ? this.#granted : times;
  }

  /** Sends all parts of a step in one write, unless it has `cut`. */
  async #send(step: Step): Promise<void> {
    const parts: Uint8Array[] = [];
    for (let i = 1; i <= this.#times(step); i++) {
      this.variables.set("$i", i);
      for (const part of [step.send!].flat() as Outgoing[]) parts.push(this.#bytesOf(part));
    }
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    // A side that rejects a long frame by its head reads at most 1 MiB of it; one that does not would wait
    // for the rest.
    await this.#wire.send(this.#expectsRejection() ? bytes.subarray(0, MAX_SENT) : bytes, step.cut);
  }

  /** Whether this conversation ends with GoAway. */
  #expectsRejection(): boolean {
    return this.#conversation.steps.some(({ goaway }) => goaway === "resource_exhausted");
  }

  #bytesOf(part: Outgoing): Uint8Array {
    if (part.hex !== undefined) return this.#note(Uint8Array.fromHex(part.hex));
    if (part.repeat !== undefined && part.header === undefined) return this.#note(repeated(part.repeat));
    if (part.text !== undefined) {
      this.#sent += part.text;
      return this.#note(new TextEncoder().encode(part.text));
    }
    const { header = [], value, body, repeat } = part;
    if (JSON.stringify(header).includes('"$next"')) this.variables.set("$next", this.#next += 2);
    const fields = writeHeader(substituted([...header], this.variables) as Json[]);
    const bytes = repeat !== undefined
      ? repeated(repeat)
      : value === undefined
      ? Uint8Array.fromHex(body ?? "")
      : this.#encoded(substituted(value, this.variables));
    return this.#note(framed([...fields, ...bytes]));
  }

  #encoded(value: Json): ArrayLike<number> & Iterable<number> {
    return this.#codec === "application/json"
      ? new TextEncoder().encode(JSON.stringify(value))
      : encode(value);
  }

  async #sendText(text: string): Promise<void> {
    this.#sent += text;
    await this.#wire.send(this.#note(new TextEncoder().encode(text)));
  }

  #note<T extends Uint8Array>(bytes: T): T {
    const text = bytes[0] === 0x7b ? new TextDecoder().decode(bytes.subarray(0, 200)).trimEnd() : undefined;
    this.#trace.push(`sent ${text ?? `${bytes.subarray(0, 64).toHex()}${bytes.length > 64 ? "…" : ""}`}`);
    return bytes;
  }

  async #line(): Promise<Line> {
    const line = await this.#wire.line();
    this.#trace.push(`received ${line}`);
    return parseLine(line);
  }

  async #expectAcceptance(fields: Line): Promise<void> {
    const answer = await this.#line();
    checkAnswer(answer, this.#sent, fields);
    this.#codec = String(answer.codecType);
    this.maxInFlight = Number(answer.maxInFlight);
    this.heartbeatInterval = Number(answer.heartbeatInterval);
  }

  async #expectOption(fields: Line): Promise<void> {
    const option = await this.#line();
    checkOption(option, fields);
    this.#codec = String(option.codecType ?? "application/cbor");
  }

  async #expectRejection(code: string): Promise<void> {
    const line = await this.#wire.line();
    this.#trace.push(`received ${line}`);
    checkRefusal(line, this.#sent, code);
    await this.#expectEnd([]);
  }

  /** Waits until one frame for each of `patterns` has arrived; frames of `allow` may arrive, too. */
  async #expect(patterns: readonly Pattern[], allow: Pattern[]): Promise<void> {
    const missing = [...patterns];
    const deadline = performance.now() + this.#wire.patience;
    while (missing.length > 0) {
      await this.#receive(missing, allow);
      // An endless stream of Pings and Credit must not extend the timeout.
      if (missing.length > 0 && performance.now() > deadline) {
        throw new Failure(`not within ${this.#wire.patience} ms: ${JSON.stringify(missing[0]!.header)}`);
      }
    }
  }

  /** Receives one frame: it must match one of `missing`, which is removed from it, or one of `allow`. */
  async #receive(missing: Pattern[], allow: Pattern[]): Promise<void> {
    const expected = missing.map(({ header }) => JSON.stringify(substituted([...header], this.variables)))
      .join(
        " or ",
      );
    const frame = await this.#wire.frame(expected);
    this.#trace.push(`received ${typeof frame === "string" ? frame : formatFrame(frame)}`);
    if (typeof frame === "string") throw new Failure(`${frame}, expected ${expected}`);
    this.#check(frame);
    if (frame.header[0] === 7) this.#granted += frame.header[2] as number;
    const reasons: string[] = [];
    for (const patterns of [missing, allow]) {
      for (const [i, pattern] of patterns.entries()) {
        const matched = match(frame, pattern, this.variables, this.#codec);
        if (typeof matched === "string") {
          reasons.push(matched);
        } else {
          this.variables = new Map(matched);
          patterns.splice(i, 1);
          return;
        }
      }
    }
    if (frame.header[0] === 7) return;
    if (frame.header[0] === 8) {
      return await this.#wire.send(framed(writeHeader([9, frame.header[1] as number])));
    }
    throw new Failure(
      `${formatFrame(frame)}, expected ${expected}${reasons[0] === undefined ? "" : `: ${reasons[0]}`}`,
    );
  }

  /** Checks what holds for every frame: standard codes, and rising numbers of the implementation's calls. */
  #check({ header: [kind, seq, code] }: Frame): void {
    if ((kind === 3 || kind === 10) && !isCode(code as string)) throw new Failure(`the unknown code ${code}`);
    if (kind !== 1) return;
    const parity = this.#subject.role === "server" ? 0 : 1;
    if (Number(seq) % 2 !== parity || Number(seq) <= this.#lastCall) {
      throw new Failure(
        `call ${seq} after call ${this.#lastCall}, whose numbers must be ${parity ? "odd" : "even"}`,
      );
    }
    this.#lastCall = Number(seq);
  }

  async #expectQuiet(allow: Pattern[]): Promise<void> {
    const n = ++this.#pings;
    await this.#wire.send(this.#note(framed(writeHeader([8, n]))));
    await this.#expect([{ header: [9, n] }], allow);
  }

  /** Waits for the end of the other side's stream. */
  async #expectEnd(allow: readonly Pattern[], repeatedly = false): Promise<void> {
    let allowed = [...allow];
    const deadline = performance.now() + this.#wire.patience;
    for (;;) {
      if (performance.now() > deadline) {
        throw new Failure(`no end of the stream within ${this.#wire.patience} ms`);
      }
      const frame = await this.#wire.frame("the end of the stream");
      this.#trace.push(`received ${typeof frame === "string" ? frame : formatFrame(frame)}`);
      if (frame === "a reset" satisfies End) throw new Failure("a reset, expected the end of the stream");
      // The peer now waits for this side's end, to close without a reset.
      if (typeof frame === "string") return await this.#wire.end();
      if (frame.header[0] === 8 || frame.header[0] === 7) continue;
      const i = allowed.findIndex((pattern) =>
        typeof match(frame, pattern, this.variables, this.#codec) !== "string"
      );
      if (i < 0) throw new Failure(`${formatFrame(frame)}, expected the end of the stream`);
      allowed = repeatedly ? allowed : allowed.toSpliced(i, 1);
    }
  }

  #execute(command: Readonly<Record<string, Json>>): Promise<Settlement> {
    this.#trace.push(`command ${JSON.stringify(command)}`);
    return this.#subject.execute!(command);
  }

  async #expectOutcome(name: string, expected: Settlement): Promise<void> {
    const got = await this.#pending.get(name);
    this.#trace.push(`settled ${name}: ${JSON.stringify(got)}`);
    const wrong = settlementMismatch(got!, expected);
    if (wrong !== undefined) {
      throw new Failure(`${name} ended with ${JSON.stringify(got)}, expected ${wrong}`);
    }
  }
}
