// Places for handlers, shared by all connections of one server: `maxInFlightTotal` of them. When few are left, no peer gets
// more than its share of them while others ask, and handlers that wait for their callers lose theirs. Owned by a server;
// sessions ask before they start a handler, and take a place for each that does not return at once.

import { ambient } from "../call/ambient.ts";

/** Of so many places one is kept for peers that have less than their share. */
const RESERVE = 8;
/** How long a peer counts as one that asks after it was refused, in ms. */
const ASKS_FOR = 1_000;
/** How often it is looked for handlers that wait for their callers, in ms, while few places are left. */
const LOOKS_EVERY = 500;

/** The places of all connections of one peer. */
interface Share {
  readonly peer: string;
  connections: number;
  /** Places taken, also by handlers of connections that are gone. */
  taken: number;
  /** Whether it has none, and was refused one lately. */
  asking: boolean;
}

/** The places of one server. */
export class CallSlots {
  readonly #max: number;
  readonly #reserve: number;
  readonly #endStalled: () => void;
  readonly #shares = new Map<string, Share>();
  /** Places taken. */
  #taken = 0;
  /** Peers that have taken any. */
  #holders = 0;
  /** Peers that ask and have none. */
  readonly #asking = new Set<Share>();
  #askingSince = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /**
   * @param max `maxInFlightTotal`
   * @param endStalled Ends handlers that have waited for their callers for too long; called while few places are left
   */
  constructor(max: number, endStalled: () => void) {
    this.#max = max;
    this.#reserve = max - Math.floor(max / RESERVE);
    this.#endStalled = endStalled;
  }

  /** @ignore For connections: the share of a peer, of which one more connection has to do with slots. */
  share(peer: string): Share {
    let share = this.#shares.get(peer);
    if (share === undefined) {
      this.#shares.set(peer, share = { peer, connections: 0, taken: 0, asking: false });
    }
    share.connections++;
    return share;
  }

  /** Looks for nothing any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** @ignore For connections: whether there are so many that anyone may have one. */
  get plenty(): boolean {
    return this.#taken < this.#reserve;
  }

  /** @ignore For connections: whether a peer may have one of the last slots. */
  admits(share: Share, now: number): boolean {
    if (now - this.#askingSince > ASKS_FOR) this.#forgetAsking(now);
    if (this.#taken < this.#max && this.#isBelowShare(share)) return true;
    if (share.taken === 0 && !share.asking) {
      share.asking = true;
      this.#asking.add(share);
    }
    return false;
  }

  /** @ignore For connections. */
  take(share: Share): void {
    if (++this.#taken >= this.#reserve) this.#look();
    if (share.taken++ > 0) return;
    this.#holders++;
    if (share.asking) this.#stopAsking(share);
  }

  /** @ignore For connections. */
  release(share: Share): void {
    this.#taken--;
    if (--share.taken > 0) return;
    this.#holders--;
    this.#forget(share);
  }

  /** @ignore For connections, one of which is gone. */
  disconnected(share: Share): void {
    share.connections--;
    this.#forget(share);
  }

  /** Looks for stalled handlers, again and again until there are places enough. */
  #look(): void {
    if (this.#timer !== undefined || this.#closed) return;
    // Whichever call took the place: the timer is no part of it, and must not keep its context.
    this.#timer = ambient.run(undefined, () =>
      setTimeout(() => {
        this.#timer = undefined;
        this.#endStalled();
        if (this.#taken >= this.#reserve) this.#look();
      }, LOOKS_EVERY));
  }

  /** A peer that has no less than its share may not have the last slots, unless no other wants any. */
  #isBelowShare(share: Share): boolean {
    const peers = this.#holders + this.#asking.size + (share.taken > 0 || share.asking ? 0 : 1);
    return peers === 1 || share.taken < this.#max / peers;
  }

  #stopAsking(share: Share): void {
    share.asking = false;
    this.#asking.delete(share);
  }

  #forgetAsking(now: number): void {
    this.#askingSince = now;
    for (const share of this.#asking) share.asking = false;
    this.#asking.clear();
  }

  #forget(share: Share): void {
    if (share.connections > 0 || share.taken > 0) return;
    if (share.asking) this.#stopAsking(share);
    if (this.#shares.get(share.peer) === share) this.#shares.delete(share.peer);
  }
}

/** The places of one connection, which counts for its peer. */
export class PeerCallSlots {
  readonly #slots: CallSlots;
  readonly #peer: () => string;
  /** Looked up when there is a handler that does not return at once: on most connections there never is. */
  #share: Share | undefined;

  /** @param peer Names the peer: connections of the same one share */
  constructor(slots: CallSlots, peer: () => string) {
    this.#slots = slots;
    this.#peer = peer;
  }

  /** Whether a handler may be started. */
  admits(now: number): boolean {
    return this.#slots.plenty || this.#slots.admits(this.#ours(), now);
  }

  /** A handler has not returned at once. */
  take(): void {
    this.#slots.take(this.#ours());
  }

  /** Such a handler has returned, maybe after its connection has ended. */
  release(): void {
    this.#slots.release(this.#ours());
  }

  /** The connection has ended. */
  close(): void {
    if (this.#share !== undefined) this.#slots.disconnected(this.#share);
  }

  #ours(): Share {
    return this.#share ??= this.#slots.share(this.#peer());
  }
}
