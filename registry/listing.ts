// Which part of the list a request asks for, and how it is written: as JSON, as the header, as server-sent events.
// Used by registry.ts.

import type { Lease, LeaseEvent, LeaseList } from "./store.ts";

/** Many HTTP implementations refuse a header beyond this. */
const MAX_LIST_HEADER = 8192;
/** Addresses are listed in a header too, which can carry no more than this. */
export const HEADER_SAFE = /^[\x21-\x7e]*$/;

/** What a GET asks for. */
export class Listing {
  readonly #service: string | null;
  readonly #all: boolean;
  readonly #ttl: number;

  constructor(parameters: URLSearchParams, ttl: number) {
    this.#service = parameters.get("service");
    this.#all = parameters.has("all");
    this.#ttl = ttl;
  }

  /** What of the list is asked for: the same text for the same. */
  get form(): string {
    return `${this.#all} ${this.#service ?? ""}`;
  }

  /** The list as the headers and the value of a JSON answer. */
  toAnswer(list: LeaseList): { headers: Record<string, string>; value: Record<string, unknown> } {
    const leases = list.leases.filter((lease) => this.#shows(lease));
    const callable = leases.filter(({ state }) => state === "active");
    // A store may hold what has not come by way of a registry.
    const addresses = callable.map(({ instance }) => instance.address).filter((text) =>
      HEADER_SAFE.test(text)
    )
      .join(",");
    const revision = { "x-rpc-revision": String(list.revision) };
    return {
      headers: addresses.length <= MAX_LIST_HEADER
        ? { ...revision, "x-rpc-servers": addresses }
        : { ...revision, "x-rpc-servers-omitted": String(callable.length) },
      value: this.#toValue(list.revision, leases),
    };
  }

  /** An event of the store as a server-sent event, whose id is the revision: what a resumed watch begins with. */
  toEvent(event: LeaseEvent): string {
    if ("list" in event) {
      const { revision, leases } = event.list;
      return text("list", revision, this.#toValue(revision, leases.filter((lease) => this.#shows(lease))));
    }
    const { revision, set, removed } = event.change;
    const { shown = [], hidden = [] } = Object.groupBy(
      set,
      (lease) => this.#shows(lease) ? "shown" : "hidden",
    );
    // Whether those that are hidden now were shown before is not known here, and does not matter.
    const gone = [...removed, ...hidden.map(({ instance }) => instance.address)];
    return text("change", revision, {
      revision,
      set: shown.map((lease) => this.#toEntry(lease)),
      removed: gone,
    });
  }

  #shows({ instance, state }: Lease): boolean {
    if (!this.#all && state !== "active") return false;
    return this.#service === null || (instance.services?.includes(this.#service) ?? false);
  }

  #toValue(revision: number, leases: readonly Lease[]): Record<string, unknown> {
    return { revision, ttl: this.#ttl, servers: leases.map((lease) => this.#toEntry(lease)) };
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

function text(name: string, revision: number, value: Record<string, unknown>): string {
  return `event: ${name}\nid: ${revision}\ndata: ${JSON.stringify(value)}\n\n`;
}
