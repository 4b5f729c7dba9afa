// All test cases as conversations: the conversations in docs/vectors, and one generated for each line, frame
// and body of the other vectors.

import client from "../docs/vectors/client.json" with { type: "json" };
import cbor from "../docs/vectors/cbor.json" with { type: "json" };
import frames from "../docs/vectors/frames.json" with { type: "json" };
import handshake from "../docs/vectors/handshake.json" with { type: "json" };
import server from "../docs/vectors/server.json" with { type: "json" };
import answers from "../docs/vectors/answers.json" with { type: "json" };
import type { Json } from "./cbor.ts";
import type { Conversation, Outgoing, Repeat, Role, Step } from "./script.ts";

/** The bytes of a vector, in one of its forms. */
interface Bytes {
  readonly hex?: string;
  readonly line?: string;
  readonly repeat?: Repeat | { before: string; unit: string; times: number; after: string };
  readonly lf?: boolean;
}

/** What a server answers to a body that is no value. */
const NOT_STARTED: Step = { expect: { header: [3, 1, "invalid_argument", null, { "not-started": "" }] } };

/** Every case for a role. */
export function casesOf(role: Role): Conversation[] {
  const own = (role === "server" ? server : client).conversations as unknown as Conversation[];
  const made = role === "server"
    ? [...handshakes(), ...own, ...badFrames(role), ...goodBodies(), ...badBodies(role), ...longBodies()]
    : [...serverLines(), ...own, ...badFrames(role), ...badBodies(role)];
  const last = (each: Conversation) => each.needs?.includes("drain") ? 1 : 0;
  return made.sort((a, b) => last(a) - last(b));
}

function idOf(group: string, name: string): string {
  return `${group}/${name.toLowerCase().replaceAll(/[^a-z0-9^]+/g, "-").replaceAll(/^-|-$/g, "")}`;
}

/** The bytes of a line, with its LF. The strings of a repetition are text, not hex. */
function lineOf({ hex, line, repeat, lf }: Bytes): Outgoing {
  if (hex !== undefined) return { hex };
  if (line !== undefined) return { text: `${line}\n` };
  const { before, unit, times, after } = repeat!;
  return { text: `${before}${unit.repeat(times)}${after}${lf === false ? "" : "\n"}` };
}

function handshakes(): Conversation[] {
  const accepted = handshake.accepted.map((vector): Conversation => ({
    id: idOf("option", vector.name),
    section: "How a line is judged",
    about: `an option that must be accepted: ${vector.name}`,
    ...vector.option.codecType === "application/json" && { needs: ["json"] },
    raw: true,
    steps: [{ send: lineOf(vector) }, { answers: {} }],
  }));
  const refused = handshake.refused.map((vector): Conversation => ({
    id: idOf("option", vector.name),
    section: "How a line is judged",
    about: `an option that must be rejected: ${vector.name}`,
    raw: true,
    steps: [{ send: lineOf(vector) }, { refuses: vector.code }],
  }));
  return [...accepted, ...refused];
}

function serverLines(): Conversation[] {
  const accepted = answers.accepted.map((vector): Conversation => ({
    id: idOf("answer", vector.name),
    section: "How a line is judged",
    about: `a response that must be accepted: ${vector.name}`,
    raw: true,
    steps: [{ asks: {} }, { send: lineOf(vector) }, { settles: "connect", result: null }],
  }));
  const refusals = answers.refusals.map((vector): Conversation => ({
    id: idOf("answer", vector.name),
    section: "Handshake",
    about: `a rejection: ${vector.name}`,
    raw: true,
    steps: [{ asks: {} }, { send: lineOf(vector) }, {
      settles: "connect",
      // Clients may report a handshake timeout by another code, because it says nothing about the timeout of
      // a call.
      error: {
        code: vector.code === "deadline_exceeded" ? ["deadline_exceeded", "unavailable"] : vector.code,
        notStarted: true,
      },
    }, {
      ends: true,
    }],
  }));
  const wrong = answers.wrong.map((vector): Conversation => ({
    id: idOf("answer", vector.name),
    section: "How a line is judged",
    about: `a response that must be rejected: ${vector.name}`,
    raw: true,
    steps: [{ asks: {} }, { send: lineOf(vector) }, { settles: "connect", error: {} }, { ends: true }],
  }));
  return [...accepted, ...refusals, ...wrong];
}

/** Frames that violate the protocol. A client receives them while a call is in flight. */
function badFrames(role: Role): Conversation[] {
  const generated = frames.generated.filter(({ code }) => code !== null);
  return [...frames.malformed, ...generated].map((vector): Conversation => {
    const sent: Outgoing = "repeat" in vector ? { repeat: vector.repeat } : { hex: vector.hex };
    const before: Step[] = [
      { do: { do: "call", method: "A.b", args: 1 }, as: "a" },
      { expect: { header: [1, "$a", "A.b", null], value: 1 } },
    ];
    const after: Step[] = [{ settles: "a", error: { code: "unavailable", notStarted: false } }];
    return {
      id: idOf("frame", vector.name),
      section: "Protocol errors",
      about: `a frame that must be answered with GoAway: ${vector.name}`,
      steps: [
        ...role === "client" ? before : [],
        { send: sent },
        { goaway: vector.code!, lastSeq: 0, ...role === "client" && { allow: [{ header: [6, null] }] } },
        ...role === "client" ? after : [],
      ],
    };
  });
}

/** Bodies that every decoder accepts. Values that JSON can represent are echoed back unchanged. */
function goodBodies(): Conversation[] {
  return cbor.values.map(({ hex, value }): Conversation => {
    const notation = value as Json;
    const common = !/"(tag|simple|map)":/.test(JSON.stringify(notation));
    return {
      id: `cbor/${hex}`,
      section: "CBOR",
      about: "a body that every decoder accepts",
      needs: common ? [] : ["values"],
      steps: [
        { send: { header: [1, "$next", "Conformance.echo", 0], body: hex } },
        { expect: common ? { header: [2, 1], notation } : { header: [2, 1], anyBody: true } },
      ],
    };
  });
}

/** Long bodies, within a limit and above it. */
function longBodies(): Conversation[] {
  return cbor.limits.map(({ name, refused, repeat, tag }): Conversation => {
    const send: Step = { send: { header: [1, "$next", "Conformance.length", 0], repeat } };
    const taken: Step = { expect: { header: [2, 1], value: "$length" } };
    return {
      id: idOf("cbor", `limit ${name}`),
      section: "CBOR",
      about: `a body ${refused ? "above" : "within"} the limits: ${name}`,
      needs: ["limits"],
      ...tag !== undefined && { tag: { number: tag, unknown: [send, taken] } },
      steps: [send, refused ? NOT_STARTED : taken],
    };
  });
}

/** Bodies that no decoder accepts, or none that knows their tag: each fails only its own call. */
function badBodies(role: Role): Conversation[] {
  const bodies: { name: string; hex: string; tag?: number }[] = [
    ...cbor.malformed.map((hex) => ({ name: hex, hex })),
    ...cbor.refused,
  ];
  return bodies.map(({ name, hex, tag }): Conversation => {
    const { steps, unknown } = role === "server" ? badArguments(hex) : badResult(hex);
    const whose = tag === undefined
      ? "that no decoder accepts"
      : `of a wrong content, for one that knows tag ${tag}`;
    return {
      id: idOf("cbor", `bad ${name}`),
      section: "Bad bodies",
      about: `a body ${whose}: ${name === hex ? "not well-formed" : name}`,
      ...tag !== undefined && { tag: { number: tag, unknown } },
      steps,
    };
  });
}

function badArguments(body: string): { steps: Step[]; unknown: Step[] } {
  const send: Step = { send: { header: [1, "$next", "Conformance.echo", 0], body } };
  return { steps: [send, NOT_STARTED], unknown: [send, { expect: { header: [2, 1], anyBody: true } }] };
}

function badResult(body: string): { steps: Step[]; unknown: Step[] } {
  const replied: Step[] = [
    { do: { do: "call", method: "A.b", args: 1 }, as: "a" },
    { expect: { header: [1, "$a", "A.b", null], value: 1 } },
    { send: { header: [2, "$a"], body } },
  ];
  return {
    steps: [...replied, { settles: "a", error: { code: "data_loss", notStarted: false } }],
    unknown: [...replied, { settles: "a" }],
  };
}
