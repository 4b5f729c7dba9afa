// Long lists as they were sent last, for those who ask for the same a moment later: a list of 10 000 servers takes tens of
// milliseconds to write, and each copy of it megabytes. Owned by a Registry.

import type { Clock } from "../discovery/clock.ts";
import { SHORT_ANSWER } from "../transport/unread_responses.ts";
import type { LeaseList } from "./store.ts";

/** How long a list is sent again, in ms: the times in it are those of when it was written. */
const SHARED_FOR = 1_000;
/** How many are kept at most, and with how many bytes together. */
const MAX_LISTS = 16;
const MAX_BYTES = 16_777_216;

/** What is sent. */
export interface EncodedList {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

interface Kept extends EncodedList {
  readonly revision: number;
  readonly at: number;
}

/** The lists, by what was asked for. */
export class EncodedLists {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A list as it was sent, or as it is written now.
   *
   * @param form What was asked for, and how it is written
   */
  get(form: string, { revision }: LeaseList, write: () => EncodedList): EncodedList {
    const now = this.#clock.now();
    const before = this.#kept.get(form);
    if (before?.revision === revision && now - before.at < SHARED_FOR) return before;
    const list = { ...write(), revision, at: now };
    this.#forget(form);
    if (list.body.length <= SHORT_ANSWER || list.body.length > MAX_BYTES) return list;
    this.#kept.set(form, list);
    this.#bytes += list.body.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_LISTS && this.#bytes <= MAX_BYTES) break;
      this.#forget(oldest);
    }
    return list;
  }

  #forget(form: string): void {
    this.#bytes -= this.#kept.get(form)?.body.length ?? 0;
    this.#kept.delete(form);
  }
}
