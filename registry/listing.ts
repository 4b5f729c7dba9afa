// Selects the part of the list that a request asks for, and encodes it as JSON, as a header, or as
// server-sent events. Used by registry.ts.

import type { Endpoint } from "../discovery/endpoint.ts";
import type { Lease, LeaseEvent, LeaseList } from "./store.ts";

/** nginx allows 4 KiB for all response headers together by default. */
const MAX_LIST_HEADER = 2048;
/** Addresses are also sent in a header, which carries only these characters. */
export const HEADER_SAFE = /^[\x21-\x7e]*$/;

/** The selection made by a GET request. */
export class Listing {
  readonly #service: string | null;
  readonly #all: boolean;
  readonly #ttl: number;

  constructor(parameters: URLSearchParams, ttl: number) {
    this.#service = parameters.get("service");
    this.#all = parameters.has("all");
    this.#ttl = ttl;
  }

  /** A cache key: equal for equal selections. */
  get form(): string {
    return `${this.#all} ${this.#service ?? ""}`;
  }

  /** Encodes the list as the headers and the value of a JSON response. */
  toAnswer(list: LeaseList): { headers: Record<string, string>; value: Record<string, unknown> } {
    const callable = list.leases.filter((lease) => lease.state === "active" && this.#shows(lease));
    // A store may contain entries that no registry has checked.
    const addresses = callable.map(({ instance }) => instance.address).filter((text) =>
      HEADER_SAFE.test(text)
    )
      .join(",");
    const revision = {
      "x-rpc-revision": String(list.revision),
      ...(list.firstRevision === undefined ? {} : { "x-rpc-first-revision": String(list.firstRevision) }),
    };
    return {
      headers: addresses.length <= MAX_LIST_HEADER
        ? { ...revision, "x-rpc-servers": addresses }
        : { ...revision, "x-rpc-servers-omitted": String(callable.length) },
      value: this.#toValue(list),
    };
  }

  /** Encodes a store event as a server-sent event. Its id is the revision from which a watch resumes. */
  toEvent(event: LeaseEvent): string {
    if ("list" in event) {
      return text("list", event.list.revision, this.#toValue(event.list));
    }
    const { revision, set, removed, withdrawn = [] } = event.change;
    const { shown = [], hidden = [] } = Object.groupBy(
      set,
      (lease) => this.#shows(lease) ? "shown" : "hidden",
    );
    // Hidden servers are reported as removed; clients ignore those they never saw.
    const gone = [...removed, ...addressesOf(hidden)];
    const inactive = addressesOf(shown.filter(({ state }) => state !== "active"));
    return text("change", revision, {
      revision,
      set: shown.map((lease) => this.#toEntry(lease)),
      removed: gone,
      ...toWithdrawn([...withdrawn, ...addressesOf(hidden), ...inactive]),
    });
  }

  #shows({ instance, state }: Lease): boolean {
    return (this.#all || state === "active") && this.#isRequested(instance);
  }

  /** Whether the server offers the requested service. */
  #isRequested({ services }: Endpoint): boolean {
    return this.#service === null || (services?.includes(this.#service) ?? false);
  }

  #toValue({ revision, leases, withdrawn = [] }: LeaseList): Record<string, unknown> {
    const shown = leases.filter((lease) => this.#shows(lease));
    const inactive = leases.filter(({ instance, state }) =>
      state !== "active" && this.#isRequested(instance)
    );
    return {
      revision,
      ttl: this.#ttl,
      ...toWithdrawn([...addressesOf(inactive), ...withdrawn]),
      servers: shown.map((lease) => this.#toEntry(lease)),
    };
  }

  #toEntry({ instance, ttl, age, idle, state, incarnation }: Lease): Record<string, unknown> {
    return {
      ...instance,
      ttl,
      age: Math.round(age),
      ...(idle === undefined ? {} : { idle: Math.round(idle) }),
      ...(this.#all ? { state, incarnation } : {}),
    };
  }
}

function addressesOf(leases: readonly Lease[]): string[] {
  return leases.map(({ instance }) => instance.address);
}

/** Omitted if empty. */
function toWithdrawn(withdrawn: readonly string[]): Record<string, unknown> {
  return withdrawn.length === 0 ? {} : { withdrawn };
}

function text(name: string, revision: number, value: Record<string, unknown>): string {
  return `event: ${name}\nid: ${revision}\ndata: ${JSON.stringify(value)}\n\n`;
}
