// The flow-control window of a stream that is received: what its sender may still send, when it is granted more, and how
// much. Used by RecvStream. Its size follows bandwidth × delay, within the budget of its connection.

import { RpcError } from "../call/error.ts";
import { DeliveryRate, type LineProbe } from "./bandwidth.ts";
import { type ConnectionWindows, ITEM_COST } from "./window_budget.ts";

/** A window, in items and in bytes of their bodies. */
export interface WindowSize {
  readonly items: number;
  readonly bytes: number;
}

const INITIAL_ITEMS = 64;
const INITIAL_BYTES = 262_144;
/** The credit that each direction of a stream starts with. */
export const INITIAL: WindowSize = { items: INITIAL_ITEMS, bytes: INITIAL_BYTES };
/** Up to this size a window doubles whenever the consumer has to wait, unless the line is known to be long. */
export const SHORT_LINE: WindowSize = { items: 1_024, bytes: 1_048_576 };
/** The largest window of one stream in bytes, with the memory of its buffered items. */
export const MAX_WINDOW_BYTES = 16_777_216;
/** Into how many grants the credit of a window is split on a long line, where a grant that is not due yet costs speed. */
const LONG_LINE_GRANTS = 8;
/** The same on any other line. */
const SHORT_LINE_GRANTS = 2;
/** A window that is to grow by more than this is limited by its credit, and worth a ping. */
const GROWTH = 1.25;

/** The window of one stream. */
export class RecvWindow {
  /** What the sender may still send. The bytes fall below 0 by one item at most. */
  itemCredit: number = INITIAL.items;
  byteCredit: number = INITIAL.bytes;
  /** All credit that was granted. */
  itemsGranted: number = INITIAL.items;
  bytesGranted: number = INITIAL.bytes;
  /** Credit, and what has arrived and was not granted again. */
  size: WindowSize = INITIAL;
  /** What the consumer has taken since the last grant, and how much of either leads to the next. */
  #itemsTaken = 0;
  #bytesTaken = 0;
  #itemStep = INITIAL.items / 2;
  #byteStep = INITIAL.bytes / 2;
  /** What is charged to the budget, in bytes. */
  #charged = 0;
  #rate: DeliveryRate | undefined;

  /**
   * Charges the credit for an item that has arrived.
   *
   * @param size Of its body, in bytes
   * @throws {RpcError} If there was no credit: a protocol error
   */
  spend(size: number): void {
    if (this.itemCredit <= 0 || this.byteCredit <= 0) {
      throw new RpcError("resource_exhausted", "Cannot decode frame: an item arrives without credit");
    }
    this.itemCredit--;
    this.byteCredit -= size;
  }

  /** Records that the consumer has taken an item. Returns whether credit is to be granted. */
  taken(size: number): boolean {
    this.#itemsTaken++;
    this.#bytesTaken += size;
    return this.#itemsTaken >= this.#itemStep || this.#bytesTaken >= this.#byteStep;
  }

  /**
   * Grants the credit of the items taken again, and more or less if the window is to change.
   *
   * @param waiting Whether the consumer has taken all that has arrived
   * @param windows The budget and the round trip; undefined = the window does not grow
   * @returns How many items and bytes are granted
   */
  grant(waiting: boolean, windows: ConnectionWindows | undefined): readonly [items: number, bytes: number] {
    const { size } = this;
    let next = size;
    if (windows !== undefined) {
      next = this.#shrunk(this.#wanted(waiting, windows.line));
      if (!this.#charge(next, windows)) {
        next = this.#shrunk({ items: Math.ceil(size.items / 2), bytes: Math.ceil(size.bytes / 2) });
        this.#charge(next, windows);
      }
    }
    const items = this.#itemsTaken + next.items - size.items;
    const bytes = this.#bytesTaken + next.bytes - size.bytes;
    this.#itemsTaken = this.#bytesTaken = 0;
    this.size = next;
    const grants = windows?.line.roundTrip.long ? LONG_LINE_GRANTS : SHORT_LINE_GRANTS;
    this.#itemStep = next.items / grants;
    this.#byteStep = next.bytes / grants;
    this.itemCredit += items;
    this.byteCredit += bytes;
    this.itemsGranted += items;
    this.bytesGranted += bytes;
    return [items, bytes];
  }

  /** Returns what was charged to the budget. */
  release(windows: ConnectionWindows): void {
    windows.give(this.#charged);
    this.#charged = 0;
  }

  /** The window to aim at. */
  #wanted(waiting: boolean, line: LineProbe): WindowSize {
    const { roundTrip } = line;
    const now = line.now();
    const rate = this.#rate ??= new DeliveryRate();
    rate.taken(this.#itemsTaken, this.#bytesTaken, now, roundTrip.least);
    const { size } = this;
    const growth = waiting ? 2 : 1;
    let items = Math.min(size.items * growth, SHORT_LINE.items);
    let bytes = Math.min(size.bytes * growth, SHORT_LINE.bytes);
    if (rate.items > 0) {
      // On a long line more than rate × round trip would only delay other calls.
      if (roundTrip.long) ({ items, bytes } = INITIAL);
      const cost = rate.size + ITEM_COST;
      const inFlight = Math.min(
        roundTrip.factor(now) * rate.items * roundTrip.least,
        MAX_WINDOW_BYTES / cost,
      );
      bytes = Math.max(bytes, Math.ceil(inFlight * rate.size));
      items = Math.max(items, Math.ceil(inFlight));
      // Small items may use all of the bytes: growing from 64 of them would take seconds.
      if (roundTrip.long) items = Math.max(items, Math.ceil(bytes / cost));
    }
    const limited = waiting || this.#charged > 0;
    const grows = items > GROWTH * size.items || bytes > GROWTH * size.bytes;
    if (limited && (grows || roundTrip.expired(now))) line.measure();
    return { items, bytes };
  }

  /** A window of at least the initial size, and smaller than the current one by no more than what was taken. */
  #shrunk({ items, bytes }: WindowSize): WindowSize {
    return {
      items: Math.max(items, INITIAL.items, this.size.items - this.#itemsTaken),
      bytes: Math.max(bytes, INITIAL.bytes, this.size.bytes - this.#bytesTaken),
    };
  }

  /** Charges a window to the budget in place of the current one. Returns whether the budget had enough. */
  #charge({ items, bytes }: WindowSize, windows: ConnectionWindows): boolean {
    const cost = bytes - INITIAL.bytes + (items - INITIAL.items) * ITEM_COST;
    const more = cost - this.#charged;
    if (more > 0 && !windows.take(more)) return false;
    if (more < 0) windows.give(-more);
    this.#charged = cost;
    return true;
  }
}
