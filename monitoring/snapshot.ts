// The running calls, streams and connections of a server, as bounded lists. Used by Server.snapshot; keeps no state.

import type { Identity, PeerCertificate } from "../call/handler.ts";
import { shownName } from "../call/identity.ts";
import { shownMethod } from "../call/method_name.ts";
import type { IncomingCall } from "../session/incoming_call.ts";
import type { Session } from "../session/session.ts";
import type {
  CallSnapshot,
  PeerSnapshot,
  ServerSnapshot,
  StreamSnapshot,
  Truncated,
} from "./server_stats.ts";

/** The most items in each list. */
const MOST = 100;
/** The most names of a certificate, and the most characters of each: its owner chose them. */
const MOST_NAMES = 10;
const MOST_CHARACTERS = 100;

/**
 * The running calls and the connections.
 *
 * @param others Running calls that arrived without a session
 */
export function activity(
  sessions: ReadonlySet<Session>,
  others: Iterable<IncomingCall> = [],
): Pick<ServerSnapshot, "calls" | "streams" | "peers"> {
  const calls = new First<IncomingCall>((call) => call.arrived);
  const streams = new First<IncomingCall>((call) => call.arrived);
  const peers = new First<Session>((session) => -session.unsent, (session) => -session.running);
  const add = (call: IncomingCall) => {
    if (call.recvStream !== undefined || call.sendStream?.started) streams.add(call);
    else calls.add(call);
  };
  for (const session of sessions) {
    peers.add(session);
    for (const call of session.calls) add(call);
  }
  for (const call of others) add(call);
  const now = performance.now();
  const { list, more } = peers.map(peerSnapshot);
  return {
    calls: calls.map((call) => callSnapshot(call, now)),
    streams: streams.map((call) => streamSnapshot(call, now)),
    peers: { list: list.toSorted((a, b) => b.age - a.age), more },
  };
}

/** Keeps the first items in the order of two ranks, without sorting all items. */
class First<T> {
  readonly #rank: (item: T) => number;
  readonly #then: (item: T) => number;
  readonly #ranked: { readonly item: T; readonly rank: number; readonly then: number }[] = [];
  #count = 0;

  constructor(rank: (item: T) => number, then: (item: T) => number = () => 0) {
    this.#rank = rank;
    this.#then = then;
  }

  add(item: T): void {
    this.#count++;
    const ranked = this.#ranked;
    const [rank, then] = [this.#rank(item), this.#then(item)];
    let at = ranked.length;
    while (at > 0 && (ranked[at - 1]!.rank - rank || ranked[at - 1]!.then - then) > 0) at--;
    if (at === MOST) return;
    ranked.splice(at, 0, { item, rank, then });
    if (ranked.length > MOST) ranked.pop();
  }

  map<R>(show: (item: T) => R): Truncated<R> {
    const list = this.#ranked.map(({ item }) => show(item));
    return { list, more: this.#count - list.length };
  }
}

function callSnapshot(
  { method, requester, identity, seq, arrived, deadline, answered }: IncomingCall,
  now: number,
): CallSnapshot {
  return {
    // Interceptors also run for unknown methods, whose names the peer has made up.
    method: shownMethod(method),
    peer: requester.address,
    ...named(identity),
    seq,
    age: now - arrived,
    ...deadline === Infinity ? undefined : { timeLeft: Math.max(0, deadline - now) },
    abandoned: answered,
  };
}

function streamSnapshot(call: IncomingCall, now: number): StreamSnapshot {
  const { recvStream, sendStream } = call;
  return {
    ...callSnapshot(call, now),
    ...recvStream === undefined ? undefined : { receiving: recvStream.stats() },
    ...sendStream?.started ? { sending: sendStream.stats() } : undefined,
  };
}

function peerSnapshot(session: Session): PeerSnapshot {
  const { address, certificate, identity } = session;
  const transport = address.slice(0, Math.max(0, address.indexOf("@")));
  return {
    ...session.stats(),
    transport,
    ...named(identity),
    ...certificate === undefined ? undefined : shownNames(certificate),
  };
}

function named(identity: Identity | undefined): { identity?: string } {
  const name = shownName(identity);
  return name === undefined ? {} : { identity: name };
}

function shownNames({ subject, alternativeNames }: PeerCertificate): Pick<PeerSnapshot, "certificate"> {
  return { certificate: { subject: cut(subject), alternativeNames: cut(alternativeNames) } };
}

function cut(names: readonly string[]): string[] {
  const some = names.slice(0, MOST_NAMES).map((name) =>
    name.length > MOST_CHARACTERS ? `${name.slice(0, MOST_CHARACTERS)}…` : name
  );
  return names.length > MOST_NAMES ? [...some, "…"] : some;
}
