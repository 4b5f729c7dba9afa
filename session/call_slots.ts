// Slots for handlers, `maxInFlightTotal` of them, shared by all connections of one server. When few are left, no peer gets
// more than its share while others request slots, and handlers that wait for their callers are ended. Owned by a server;
// a session asks before it starts a handler, and takes a slot if the handler does not return at once.

import { ambient } from "../call/ambient.ts";
import type { Identity } from "../call/handler.ts";
import { networkOf } from "../transport/connection_counts.ts";

/** One slot in this many is reserved for peers that have less than their share. */
const RESERVE = 8;
/** How long a peer that was refused counts as requesting slots, in ms. */
const REQUESTING_FOR = 1_000;
/** How often handlers that wait for their callers are looked for while few slots are left, in ms. */
const CHECK_EVERY = 500;

/** The slots of all connections of one peer. */
interface Share {
  readonly peer: string;
  connections: number;
  /** Slots taken, those of handlers whose connections are gone included. */
  taken: number;
  /** Whether it has no slot, and was refused one recently. */
  requesting: boolean;
}

/** The slots of one server. */
export class CallSlots {
  readonly #max: number;
  readonly #reserve: number;
  readonly #endStalled: () => void;
  readonly #shares = new Map<string, Share>();
  /** Slots taken. */
  #taken = 0;
  /** Peers that have slots. */
  #holders = 0;
  /** Peers that request slots and have none. */
  readonly #requesting = new Set<Share>();
  #requestsSince = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /**
   * @param max `maxInFlightTotal`
   * @param endStalled Ends handlers that have waited for their callers for too long; called while few slots are left
   */
  constructor(max: number, endStalled: () => void) {
    this.#max = max;
    this.#reserve = max - Math.floor(max / RESERVE);
    this.#endStalled = endStalled;
  }

  /** @ignore For connections: the share of a peer, for one more connection that uses slots. */
  share(peer: string): Share {
    let share = this.#shares.get(peer);
    if (share === undefined) {
      this.#shares.set(peer, share = { peer, connections: 0, taken: 0, requesting: false });
    }
    share.connections++;
    return share;
  }

  /** Stops looking for stalled handlers. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** @ignore For connections: whether enough slots are left for every peer. */
  get plenty(): boolean {
    return this.#taken < this.#reserve;
  }

  /** @ignore For connections: whether a peer may take one of the last slots. */
  admits(share: Share, now: number): boolean {
    if (now - this.#requestsSince > REQUESTING_FOR) this.#forgetRequests(now);
    if (this.#taken < this.#max && this.#isBelowShare(share)) return true;
    if (share.taken === 0 && !share.requesting) {
      share.requesting = true;
      this.#requesting.add(share);
    }
    return false;
  }

  /** @ignore For connections: takes a slot. */
  take(share: Share): void {
    if (++this.#taken >= this.#reserve) this.#endStalledSoon();
    if (share.taken++ > 0) return;
    this.#holders++;
    if (share.requesting) this.#stopRequesting(share);
  }

  /** @ignore For connections: frees a slot. */
  release(share: Share): void {
    this.#taken--;
    if (--share.taken > 0) return;
    this.#holders--;
    this.#forget(share);
  }

  /** @ignore For a connection that is gone. */
  disconnected(share: Share): void {
    share.connections--;
    this.#forget(share);
  }

  /** Looks for stalled handlers repeatedly, until enough slots are free. */
  #endStalledSoon(): void {
    if (this.#timer !== undefined || this.#closed) return;
    // Outside of any call: the timer must not keep the context of the call that happens to take a slot.
    this.#timer = ambient.run(undefined, () =>
      setTimeout(() => {
        this.#timer = undefined;
        this.#endStalled();
        if (this.#taken >= this.#reserve) this.#endStalledSoon();
      }, CHECK_EVERY));
  }

  /** A peer that has its share may not take the last slots, unless it is the only one. */
  #isBelowShare(share: Share): boolean {
    const peers = this.#holders + this.#requesting.size + (share.taken > 0 || share.requesting ? 0 : 1);
    return peers === 1 || share.taken < this.#max / peers;
  }

  #stopRequesting(share: Share): void {
    share.requesting = false;
    this.#requesting.delete(share);
  }

  #forgetRequests(now: number): void {
    this.#requestsSince = now;
    for (const share of this.#requesting) share.requesting = false;
    this.#requesting.clear();
  }

  #forget(share: Share): void {
    if (share.connections > 0 || share.taken > 0) return;
    if (share.requesting) this.#stopRequesting(share);
    if (this.#shares.get(share.peer) === share) this.#shares.delete(share.peer);
  }
}

/** The slots of one connection, which count for its peer. */
export class PeerCallSlots {
  readonly #slots: CallSlots;
  readonly #peer: () => string;
  /** Looked up for the first handler that does not return at once: most connections never have one. */
  #share: Share | undefined;

  /** @param peer Returns the peer's name: connections with the same name share */
  constructor(slots: CallSlots, peer: () => string) {
    this.#slots = slots;
    this.#peer = peer;
  }

  /** Whether a handler may be started. */
  admits(now: number): boolean {
    return this.#slots.plenty || this.#slots.admits(this.#ownShare(), now);
  }

  /** Takes a slot for a handler that has not returned at once. */
  take(): void {
    this.#slots.take(this.#ownShare());
  }

  /** Frees the slot of a handler that has returned, maybe after its connection has ended. */
  release(): void {
    this.#slots.release(this.#ownShare());
  }

  /** The connection has ended. */
  close(): void {
    if (this.#share !== undefined) this.#slots.disconnected(this.#share);
  }

  #ownShare(): Share {
    return this.#share ??= this.#slots.share(this.#peer());
  }
}

/**
 * Which connections share call slots: those of one identity, else of one IP address or network, else of Unix sockets.
 */
export function sharerOf(identity: Identity | undefined, peer: string): string {
  const name = typeof identity === "object" ? identity.name : identity;
  return name === undefined ? `address ${networkOf(peer)}` : `name ${name}`;
}
