// How calls that arrive without a connection of the library's own, such as HTTP requests, are answered by a server: with
// its methods, limits and statistics. Created by a Server for the first such entrance; used by web/.

import type { ContractMethod } from "../call/contract.ts";
import type { RpcError } from "../call/error.ts";
import type { Identity, Lookup } from "../call/handler.ts";
import type { Log } from "../call/log.ts";
import type { ServiceTable } from "../call/service.ts";
import type { Codec } from "../codec/codec.ts";
import { Alarm, AlarmClock, type Sleeper } from "../session/alarm_clock.ts";
import { CallRunner, type RunnerOptions, type RunnerOwner } from "../session/call_runner.ts";
import { type CallSlots, PeerCallSlots, sharerOf } from "../session/call_slots.ts";
import type { Authenticate } from "../session/handshake.ts";
import type { IncomingCall } from "../session/incoming_call.ts";
import type { SessionLimits } from "../session/limits.ts";
import { networkOf } from "../transport/connection_counts.ts";
import { addressOf, type FetchInfo, type RemoteAddress } from "../transport/unread_responses.ts";
import { Arrivals } from "./arrivals.ts";

/** Peers that are remembered at least, whether they have calls in flight or not. */
const MIN_PEERS = 1_024;

/** What an entrance needs of its server. */
export interface EntranceOptions extends Omit<RunnerOptions, "slots" | "limits"> {
  readonly limits: SessionLimits;
  readonly services: ServiceTable;
  /** The slots of all handlers of the server. */
  readonly slots: CallSlots;
  /** Decodes JSON. */
  readonly json: Codec;
  readonly authenticate: Authenticate | undefined;
  /** How long `authenticate` may take, in ms. */
  readonly handshakeTimeout: number;
  /** Counts a caller that `authenticate` refused. */
  readonly onUnauthenticated: () => void;
  /** The time limit of each call, in ms; 0 = no limit. */
  readonly handleTimeout: number;
  readonly log: Log | undefined;
  /** Answers requests that are not calls. */
  readonly fetch: (request: Request, info?: FetchInfo) => Promise<Response>;
}

/** Answers the calls of all peers that have no connection. Each peer has the limits that a connection has. */
export class Entrance {
  readonly options: EntranceOptions;
  readonly lookup: Lookup;
  /** Requests whose arguments are still arriving. */
  readonly arrivals: Arrivals = new Arrivals();
  readonly #clock = new AlarmClock();
  readonly #peers = new Map<string, PeerCalls>();
  #maxPeers = MIN_PEERS;
  /** Why calls are refused, once the server shuts down. */
  #refusal: RpcError | undefined;
  #closed: RpcError | undefined;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: EntranceOptions) {
    this.options = options;
    this.lookup = (name, peer) => options.services.find(name, peer);
  }

  /** Why calls are refused; undefined while they are accepted. */
  get refusal(): RpcError | undefined {
    return this.#refusal;
  }

  /** The calls whose handlers are running. */
  *calls(): Iterable<IncomingCall> {
    for (const { runner } of this.#peers.values()) yield* runner.inFlight.values();
  }

  /** What the method's contract says of it; undefined without a contract. */
  contractMethod(name: string): ContractMethod | undefined {
    const dot = name.lastIndexOf(".");
    return this.options.services.services.get(name.slice(0, dot))?.contract?.methods[name.slice(dot + 1)];
  }

  /**
   * The calls of one peer: those of one identity, or else of one IP address or network.
   *
   * @param from Where it is
   */
  peer(from: RemoteAddress | undefined, identity: Identity | undefined): PeerCalls {
    const key = identity === undefined
      ? networkKey(from?.hostname)
      : `name ${typeof identity === "object" ? identity.name : identity}`;
    const known = this.#peers.get(key);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#maxPeers) this.#forgetIdle();
    const peer = new PeerCalls(
      this.options,
      this.#clock,
      () => sharerOf(identity, addressOf(from)),
      () => this.#check(),
    );
    if (this.#closed !== undefined) peer.runner.endAll(this.#closed);
    this.#peers.set(key, peer);
    return peer;
  }

  /** Ends calls whose handlers have waited for their callers for `limit` ms. */
  endStalled(limit: number): void {
    const now = performance.now();
    for (const { runner } of this.#peers.values()) runner.endStalled(now, limit);
  }

  /** Refuses further calls, and notifies the handlers; resolves when every call in flight is answered. */
  drain(refusal: RpcError): Promise<void> {
    this.#refusal ??= refusal;
    for (const { runner } of this.#peers.values()) runner.drain(refusal);
    this.#idle ??= Promise.withResolvers();
    this.#check();
    return this.#idle.promise;
  }

  /** Answers all calls with an error, and refuses further ones. */
  close(reason: RpcError): void {
    this.#refusal ??= reason;
    this.#closed ??= reason;
    for (const { runner } of this.#peers.values()) {
      for (const call of runner.inFlight.values()) if (!call.answered) runner.giveUp(call, reason);
      runner.endAll(reason);
    }
  }

  #check(): void {
    if (this.#idle === undefined) return;
    for (const { runner } of this.#peers.values()) if (runner.inFlight.unanswered > 0) return;
    this.arrivals.close(this.#refusal!);
    this.#idle.resolve();
  }

  #forgetIdle(): void {
    for (const [key, peer] of this.#peers) {
      if (peer.runner.inFlight.size > 0 || peer.runner.inFlight.unanswered > 0) continue;
      peer.close();
      this.#peers.delete(key);
    }
    // So that looking for idle ones costs each new peer little, however many are busy.
    this.#maxPeers = Math.max(MIN_PEERS, this.#peers.size * 2);
  }
}

/** The calls of one peer. */
export class PeerCalls implements RunnerOwner, Sleeper {
  readonly runner: CallRunner;
  readonly countsByTurn = false;
  readonly #alarm: Alarm;
  readonly #slots: PeerCallSlots;
  readonly #settled: () => void;
  #lastSeq = 0;

  constructor(options: EntranceOptions, clock: AlarmClock, sharer: () => string, settled: () => void) {
    this.#alarm = new Alarm(this, clock);
    this.#slots = new PeerCallSlots(options.slots, sharer);
    this.#settled = settled;
    const { limits, counters, mapError, log } = options;
    this.runner = new CallRunner({ limits, counters, mapError, log, slots: this.#slots }, this);
  }

  /** A number for a call that no other call of the peer has: even ones, as on a connection. */
  nextSeq(): number {
    return this.#lastSeq += 2;
  }

  onUnanswered(call: IncomingCall): void {
    this.#alarm.by(call.deadline);
  }

  onSettled(): void {
    this.#settled();
  }

  onAlarm(now: number): void {
    this.#alarm.by(this.runner.expire(now));
  }

  /** The peer has no calls, and is forgotten. */
  close(): void {
    this.#alarm.stop();
    this.#slots.close();
  }
}

/** An IPv4 address, or the network of an IPv6 address; "" for Unix sockets. */
function networkKey(hostname = ""): string {
  return hostname.includes(":") ? networkOf(`tcp@[${hostname}]:1`) ?? "" : hostname;
}
