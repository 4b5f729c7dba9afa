// Plays one conversation with an implementation under test, as the server or the client that it talks to. Owns the
// connection while it lasts. Pings are answered, and Credit is taken, without being mentioned in a conversation.

import { encode, type Json } from "./cbor.ts";
import { type Frame, framed, shown, writeHeader } from "./header.ts";
import { checkAnswer, checkOption, checkRefusal, isCode, type Line, parseLine } from "./lines.ts";
import { match, wrongSettlement } from "./match.ts";
import {
  type Conversation,
  filled,
  type Outgoing,
  type Pattern,
  repeated,
  type Role,
  type Settlement,
  type Step,
} from "./script.ts";
import { type End, Failure, type Wire } from "./wire.ts";

/** What the implementation under test is reached by. */
export interface Bench {
  readonly role: Role;
  /**
   * A new connection: one that is made, or one that the client makes when it is told so.
   *
   * @param option What the client is told to ask for
   * @returns The connection, and how the client says it has come out
   */
  open(option: Readonly<Record<string, Json>>): Promise<{ wire: Wire; connected?: Promise<Settlement> }>;
  /** Client: tells it to do something. */
  tell?(command: Readonly<Record<string, Json>>): Promise<Settlement>;
}

/** What a server answers when a conversation says nothing else. */
const ANSWER: Line = {
  magicNumber: 3927900,
  version: 1,
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 4194304,
  maxInFlight: 1024,
  heartbeatInterval: 0,
};
/** What is sent at most where a refusal is expected, well within what a side that refuses must read. */
const MOST_SENT = 524_288;
/** The numbers of the runner's own Pings. */
const FIRST_PING = 4_000_000;

/** What a conversation has brought to light. */
export interface Findings {
  readonly variables: ReadonlyMap<string, Json>;
  readonly maxInFlight: number;
  readonly heartbeatInterval: number;
}

/**
 * Plays it to its end.
 *
 * @param trace Gets what was sent and came
 * @param found Is told what was found, if all was as it must be
 * @throws {Failure} If something is not
 */
export async function play(
  conversation: Conversation,
  bench: Bench,
  trace: string[],
  found?: (findings: Findings) => void,
): Promise<void> {
  const player = new Player(conversation, bench, trace);
  try {
    await player.play();
    found?.(player);
  } finally {
    await player.leave();
  }
}

class Player implements Findings {
  variables = new Map<string, Json>([["$key", crypto.randomUUID()]]);
  maxInFlight = 1024;
  heartbeatInterval = 0;
  readonly #conversation: Conversation;
  readonly #bench: Bench;
  readonly #trace: string[];
  #wire!: Wire;
  #codec = "application/cbor";
  /** The last number given out for `$next`. */
  #next: number;
  #pings = FIRST_PING;
  /** The number of the last call that the implementation has made. */
  #called = 0;
  /** How many items came in Credit. */
  #granted = 0;
  /** The text that was sent, of which a server may repeat little. */
  #sent = "";
  readonly #told = new Map<string, Promise<Settlement>>();

  constructor(conversation: Conversation, bench: Bench, trace: string[]) {
    this.#conversation = conversation;
    this.#bench = bench;
    this.#trace = trace;
    this.#next = bench.role === "server" ? -1 : 0;
  }

  async play(): Promise<void> {
    const { raw, steps, tail } = this.#conversation;
    await this.#open();
    if (!raw) await this.#handshake();
    for (const step of steps) await this.#step(step);
    if (tail === false || steps.some(({ ends, goaway, refuses }) => ends || goaway || refuses)) return;
    if (this.#bench.role === "server") {
      await this.#quiet([]);
      await this.#wire.end();
      await this.#ends([]);
    } else {
      const closed = this.#tell({ do: "close" });
      await this.#ends([{ header: [6, null] }, { header: [10, null, null, null] }], true);
      await closed;
    }
  }

  /** Leaves nothing behind, whatever has happened. */
  async leave(): Promise<void> {
    this.#wire?.[Symbol.dispose]();
    if (this.#bench.role === "client") {
      await this.#tell({ do: "close" }).catch(() => {});
      await Promise.allSettled(this.#told.values());
    }
  }

  async #open(): Promise<void> {
    const { option = {} } = this.#conversation;
    const { wire, connected } = await this.#bench.open(option);
    this.#wire = wire;
    connected?.catch(() => {});
    if (connected !== undefined) this.#told.set("connect", connected);
    this.#wire.maxFrameBytes = Number(
      (this.#bench.role === "server" ? this.#conversation.option : this.#conversation.answer)
        ?.maxFrameBytes ??
        4_194_304,
    );
  }

  async #handshake(): Promise<void> {
    const { option, answer } = this.#conversation;
    if (this.#bench.role === "server") {
      await this.#sendText(`${JSON.stringify({ magicNumber: 3927900, ...option })}\n`);
      return this.#answered({});
    }
    await this.#asked(option ?? {});
    await this.#sendText(`${JSON.stringify({ ...ANSWER, codecType: this.#codec, ...answer })}\n`);
    await this.#settles("connect", { result: null });
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
    if (step.answers) return await this.#answered(step.answers);
    if (step.asks) return await this.#asked(step.asks);
    if (step.refuses) return await this.#refused(step.refuses);
    if (step.quiet) return await this.#quiet([...step.allow ?? []]);
    if (step.goaway) {
      await this.#expect([{ header: [10, step.lastSeq ?? null, step.goaway, null] }], [...step.allow ?? []]);
      return await this.#ends([]);
    }
    if (step.ends) return await this.#ends([...step.allow ?? []]);
    if (step.end) return await this.#wire.end();
    if (step.reconnect) {
      this.#wire[Symbol.dispose]();
      this.#next = -1;
      this.#called = this.#granted = 0;
      await this.#open();
      return await this.#handshake();
    }
    if (step.do) {
      const told = this.#tell({ id: step.as!, ...step.do });
      told.catch(() => {});
      this.#told.set(step.as!, told);
      return;
    }
    if (step.settles) return await this.#settles(step.settles, step);
    throw new TypeError(`Cannot play step ${JSON.stringify(step)}`);
  }

  #times({ times = 1 }: Step): number {
    return times === "maxInFlight" ? this.maxInFlight : times === "granted" ? this.#granted : times;
  }

  /** All of a step leaves in one write, unless it says otherwise. */
  async #send(step: Step): Promise<void> {
    const parts: Uint8Array[] = [];
    for (let i = 1; i <= this.#times(step); i++) {
      this.variables.set("$i", i);
      for (const part of [step.send!].flat() as Outgoing[]) parts.push(this.#bytesOf(part));
    }
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    // Who refuses a long frame at its head reads no more than 1 MiB of it. Who does not refuse would wait for the rest.
    await this.#wire.send(this.#refusedSoon() ? whole.subarray(0, MOST_SENT) : whole, step.cut);
  }

  /** Whether this conversation ends with GoAway. */
  #refusedSoon(): boolean {
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
    const fields = writeHeader(filled([...header], this.variables) as Json[]);
    const bytes = repeat !== undefined
      ? repeated(repeat)
      : value === undefined
      ? Uint8Array.fromHex(body ?? "")
      : this.#encoded(filled(value, this.variables));
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
    this.#trace.push(`came ${line}`);
    return parseLine(line);
  }

  async #answered(fields: Line): Promise<void> {
    const answer = await this.#line();
    checkAnswer(answer, this.#sent, fields);
    this.#codec = String(answer.codecType);
    this.maxInFlight = Number(answer.maxInFlight);
    this.heartbeatInterval = Number(answer.heartbeatInterval);
  }

  async #asked(fields: Line): Promise<void> {
    const asked = await this.#line();
    checkOption(asked, fields);
    this.#codec = String(asked.codecType ?? "application/cbor");
  }

  async #refused(code: string): Promise<void> {
    const line = await this.#wire.line();
    this.#trace.push(`came ${line}`);
    checkRefusal(line, this.#sent, code);
    await this.#ends([]);
  }

  /** Waits until one frame for each of `patterns` has come; `allow` may come too. */
  async #expect(patterns: readonly Pattern[], allow: Pattern[]): Promise<void> {
    const missing = [...patterns];
    const late = performance.now() + this.#wire.patience;
    while (missing.length > 0) {
      await this.#take(missing, allow);
      // Pings and Credit without end are no reason to wait for ever.
      if (missing.length > 0 && performance.now() > late) {
        throw new Failure(`not within ${this.#wire.patience} ms: ${JSON.stringify(missing[0]!.header)}`);
      }
    }
  }

  /** Takes one frame that is one of `missing`, which then is not missing any more, or one of `allow`. */
  async #take(missing: Pattern[], allow: Pattern[]): Promise<void> {
    const expected = missing.map(({ header }) => JSON.stringify(filled([...header], this.variables))).join(
      " or ",
    );
    const frame = await this.#wire.frame(expected);
    this.#trace.push(`came ${typeof frame === "string" ? frame : shown(frame)}`);
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
      `${shown(frame)}, expected ${expected}${reasons[0] === undefined ? "" : `: ${reasons[0]}`}`,
    );
  }

  /** What holds for every frame: codes are of the sixteen, and the numbers of an implementation's calls rise. */
  #check({ header: [kind, seq, code] }: Frame): void {
    if ((kind === 3 || kind === 10) && !isCode(code as string)) throw new Failure(`the unknown code ${code}`);
    if (kind !== 1) return;
    const parity = this.#bench.role === "server" ? 0 : 1;
    if (Number(seq) % 2 !== parity || Number(seq) <= this.#called) {
      throw new Failure(
        `call ${seq} behind call ${this.#called}, whose numbers must be ${parity ? "odd" : "even"}`,
      );
    }
    this.#called = Number(seq);
  }

  async #quiet(allow: Pattern[]): Promise<void> {
    const n = ++this.#pings;
    await this.#wire.send(this.#note(framed(writeHeader([8, n]))));
    await this.#expect([{ header: [9, n] }], allow);
  }

  /** Waits for the other side's end. */
  async #ends(allow: readonly Pattern[], often = false): Promise<void> {
    let left = [...allow];
    const late = performance.now() + this.#wire.patience;
    for (;;) {
      if (performance.now() > late) {
        throw new Failure(`no end of the stream within ${this.#wire.patience} ms`);
      }
      const frame = await this.#wire.frame("the end of the stream");
      this.#trace.push(`came ${typeof frame === "string" ? frame : shown(frame)}`);
      if (frame === "a reset" satisfies End) throw new Failure("a reset, expected the end of the stream");
      // It waits for this side's end now, to close without a reset.
      if (typeof frame === "string") return await this.#wire.end();
      if (frame.header[0] === 8 || frame.header[0] === 7) continue;
      const i = left.findIndex((pattern) =>
        typeof match(frame, pattern, this.variables, this.#codec) !== "string"
      );
      if (i < 0) throw new Failure(`${shown(frame)}, expected the end of the stream`);
      left = often ? left : left.toSpliced(i, 1);
    }
  }

  #tell(command: Readonly<Record<string, Json>>): Promise<Settlement> {
    this.#trace.push(`told ${JSON.stringify(command)}`);
    return this.#bench.tell!(command);
  }

  async #settles(name: string, wanted: Settlement): Promise<void> {
    const got = await this.#told.get(name);
    this.#trace.push(`settled ${name}: ${JSON.stringify(got)}`);
    const wrong = wrongSettlement(got!, wanted);
    if (wrong !== undefined) {
      throw new Failure(`${name} was settled with ${JSON.stringify(got)}, expected ${wrong}`);
    }
  }
}
