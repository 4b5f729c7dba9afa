// Which part of the list a request asks for, and how it is written: as JSON, as the header, as server-sent events.
// Used by registry.ts.

import type { Endpoint } from "../discovery/endpoint.ts";
import type { Lease, LeaseEvent, LeaseList } from "./store.ts";

/** All headers of an answer together may have 4 KiB with the settings that nginx comes with. */
const MAX_LIST_HEADER = 2048;
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
    const callable = list.leases.filter((lease) => lease.state === "active" && this.#shows(lease));
    // A store may hold what has not come by way of a registry.
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

  /** An event of the store as a server-sent event, whose id is the revision: what a resumed watch begins with. */
  toEvent(event: LeaseEvent): string {
    if ("list" in event) {
      return text("list", event.list.revision, this.#toValue(event.list));
    }
    const { revision, set, removed, withdrawn = [] } = event.change;
    const { shown = [], hidden = [] } = Object.groupBy(
      set,
      (lease) => this.#shows(lease) ? "shown" : "hidden",
    );
    // Whether those that are hidden now were shown before is not known here, and does not matter.
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
    return (this.#all || state === "active") && this.#isAsked(instance);
  }

  /** Whether it offers the service that is asked for. */
  #isAsked({ services }: Endpoint): boolean {
    return this.#service === null || (services?.includes(this.#service) ?? false);
  }

  #toValue({ revision, leases, withdrawn = [] }: LeaseList): Record<string, unknown> {
    const shown = leases.filter((lease) => this.#shows(lease));
    const inactive = leases.filter(({ instance, state }) => state !== "active" && this.#isAsked(instance));
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

/** Left out if there is nothing to say. */
function toWithdrawn(withdrawn: readonly string[]): Record<string, unknown> {
  return withdrawn.length === 0 ? {} : { withdrawn };
}

function text(name: string, revision: number, value: Record<string, unknown>): string {
  return `event: ${name}\nid: ${revision}\ndata: ${JSON.stringify(value)}\n\n`;
}
