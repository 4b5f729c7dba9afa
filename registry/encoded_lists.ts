// Cache of recently encoded long lists, for clients that request the same list shortly after each other: a
// list of 10 000 servers takes tens of milliseconds to encode, and each copy takes megabytes. Owned by a
// Registry.

import type { Clock } from "../discovery/clock.ts";
import { SHORT_ANSWER } from "../transport/unread_responses.ts";
import type { LeaseList } from "./store.ts";

/** How long an encoded list is reused, in ms. The ages in it are those at the time of encoding. */
const SHARED_FOR = 1_000;
/** Limits of the cache: the number of lists and their total bytes. */
const MAX_LISTS = 16;
const MAX_BYTES = 16_777_216;

/** An encoded response. */
export interface EncodedList {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

interface CachedList extends EncodedList {
  readonly revision: number;
  readonly at: number;
}

/** The cached lists, by request form. */
export class EncodedLists {
  readonly #clock: Clock;
  readonly #cached = new Map<string, CachedList>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The cached list for this form, or a newly encoded one.
   *
   * @param form What was requested and in which encoding
   */
  get(form: string, { revision }: LeaseList, write: () => EncodedList): EncodedList {
    const now = this.#clock.now();
    const before = this.#cached.get(form);
    if (before?.revision === revision && now - before.at < SHARED_FOR) return before;
    const list = { ...write(), revision, at: now };
    this.#forget(form);
    if (list.body.length <= SHORT_ANSWER || list.body.length > MAX_BYTES) return list;
    this.#cached.set(form, list);
    this.#bytes += list.body.length;
    for (const oldest of this.#cached.keys()) {
      if (this.#cached.size <= MAX_LISTS && this.#bytes <= MAX_BYTES) break;
      this.#forget(oldest);
    }
    return list;
  }

  #forget(form: string): void {
    this.#bytes -= this.#cached.get(form)?.body.length ?? 0;
    this.#cached.delete(form);
  }
}
