// Which tokens were accepted, for the calls that follow with the same metadata on the same connection. Such calls share one
// metadata object, which cannot be changed; it is the key, so that no token is kept longer than that object.

import type { Identity } from "./handler.ts";
import { type Metadata, sharingOf } from "./metadata.ts";

/** So many methods are remembered for one token: a caller may use any names. */
const MAX_METHODS = 64;

interface Accepted {
  readonly as: true | Identity;
  /** When its check began, and until when it holds, on the clock of `Date.now()`. */
  readonly since: number;
  readonly until: number;
}

/** The accepted tokens of one `requireToken`. */
export class RememberedTokens {
  readonly #time: number;
  readonly #byMethod: boolean;
  readonly #accepted = new WeakMap<Metadata, Map<string, Accepted>>();

  /**
   * @param time How long a token is remembered, in ms; Infinity = as long as the connection
   * @param byMethod Whether it is remembered for the method it was accepted for
   */
  constructor(time: number, byMethod: boolean) {
    this.#time = time;
    this.#byMethod = byMethod;
  }

  /** What the token of a call was accepted as; undefined if that is not known, or not any more. */
  find(metadata: Metadata, method: string): true | Identity | undefined {
    const known = this.#accepted.get(metadata)?.get(this.#byMethod ? method : "");
    if (known === undefined) return undefined;
    if (known.until === Infinity) return known.as;
    const now = Date.now();
    // Before `since` the system's clock was set back.
    return known.since <= now && now < known.until ? known.as : undefined;
  }

  /**
   * A token was accepted.
   *
   * @param since When its check began, on the clock of `Date.now()`
   */
  add(metadata: Metadata, method: string, as: true | Identity, since: number): void {
    if (sharingOf(metadata) === undefined) return;
    let methods = this.#accepted.get(metadata);
    if (methods === undefined) this.#accepted.set(metadata, methods = new Map());
    if (methods.size >= MAX_METHODS) methods.clear();
    const until = Math.min(since + this.#time, expiryOf(as));
    methods.set(this.#byMethod ? method : "", { as, since, until });
  }
}

/** When an identity expires, by the claim of a JSON Web Token (RFC 7519 section 4.1.4); Infinity = not known. */
function expiryOf(as: true | Identity): number {
  const exp = typeof as === "object" ? (as as { exp?: unknown }).exp : undefined;
  return typeof exp === "number" ? exp * 1_000 : Infinity;
}
