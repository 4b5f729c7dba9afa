// The sections of the page at /debug/rpc, made from a snapshot. Shows names and figures, never arguments, results or
// metadata. Used by Monitoring.

import { shownPeer } from "../call/identity.ts";
import type { MethodStats } from "../call/method_stats.ts";
import type { FlowStats } from "../session/session_stats.ts";
import { elapsed, histogram, type Span, spanOf } from "./page_pictures.ts";
import { type Column, figure, foreign, rest, type Row, statsContent, table } from "./page_table.ts";
import { bytes, count, duration, listing } from "./page_text.ts";
import { type Content, element, type PageElement } from "./page_tree.ts";
import type {
  CallSnapshot,
  PeerSnapshot,
  ServerSnapshot,
  ServerStats,
  StreamSnapshot,
  Truncated,
} from "./server_stats.ts";

/** The most methods in the table; those with the fewest calls are left out. */
const MOST_METHODS = 200;
/** The most calls, and the most streams, in their tables. */
const MOST_CALLS = 25;

/**
 * Makes the page.
 *
 * @param stats A snapshot, or only the stats
 */
export function pageOf(stats: ServerStats | ServerSnapshot): PageElement {
  return element(
    "main",
    { id: "page", "data-uptime": stats.uptime },
    summary(stats),
    trouble(stats),
    methodSections(stats.methods),
    "calls" in stats ? activitySections(stats) : element(
      "p",
      { class: "rest" },
      "Calls in flight, connections and clients are shown on the server's own machine, " +
        "and wherever its option monitoring says so.",
    ),
  );
}

function summary(
  { uptime, draining, connections, handshakes, inFlight, unsentBytes, methods }: ServerStats,
): PageElement {
  const calls = methods.reduce((sum, method) => sum + method.calls, 0);
  const errors = methods.reduce((sum, method) => sum + method.errors, 0);
  return element(
    "section",
    { class: "summary", "aria-label": "Summary" },
    element(
      "dl",
      {},
      figure("Up for", duration(uptime), small(draining ? "draining" : "")),
      figure(
        "Connections",
        count(connections),
        small(handshakes > 1 ? `and ${count(handshakes)} in handshake` : ""),
      ),
      figure("In flight", count(inFlight)),
      figure("Calls", count(calls), small(rate(calls))),
      figure("Errors", count(errors), small(rate(errors))),
      figure("Unsent", bytes(unsentBytes)),
    ),
    // The page's script draws it.
    element("figure", { class: "history", "data-history": calls, hidden: "" }),
  );
}

/** A rate. Only the page's script can compute it, from two values. */
function rate(total: number): PageElement {
  return element("span", { class: "rate", "data-rate": total });
}

function small(content: Content): Content {
  return content === "" ? undefined : element("small", {}, content);
}

function trouble(stats: ServerStats): PageElement {
  const { accepted, refused, refusals, probes, acceptErrors, unknownMethods, limits } = stats;
  const ever = Object.values(limits).some((times) => times > 0);
  const state = (bad: boolean) =>
    element("span", { class: bad ? "warn" : undefined, "aria-hidden": "true" }, bad ? "●" : "○");
  return section(
    "Limits and refusals",
    element(
      "ul",
      { class: "trouble" },
      element("li", {}, state(ever), ` Limits met: ${listing({ ...limits })}.`),
      element(
        "li",
        {},
        state(refused > 0),
        ` Connections refused by reason: ${listing({ ...refusals })}; ${count(accepted)} were accepted, ${
          count(probes)
        } ended without a byte.`,
      ),
      element(
        "li",
        {},
        state(acceptErrors > 0),
        ` Times when nothing could be accepted: ${count(acceptErrors)}.`,
      ),
      element("li", {}, state(unknownMethods > 0), ` Calls of unknown methods: ${count(unknownMethods)}.`),
    ),
  );
}

const METHOD_COLUMNS: readonly Column[] = [
  ["Method"],
  ["Calls", "n"],
  ["Per second", "n"],
  ["Errors", "n"],
  ["In flight", "n"],
  ["p50", "n"],
  ["p99", "n"],
  ["Max", "n"],
  ["Latency"],
];

function methodSections(all: readonly MethodStats[]): Content {
  if (all.length === 0) {
    return section("Methods", element("p", { class: "rest" }, "No service is registered."));
  }
  const busiest = all.toSorted((a, b) => b.calls - a.calls).slice(0, MOST_METHODS);
  const shown = new Set(busiest);
  const span = spanOf(busiest.map(({ latency }) => latency));
  const services = Map.groupBy(all.filter((each) => shown.has(each)), ({ method }) => serviceOf(method));
  return [
    ...Array.from(services, ([service, methods]) =>
      section(
        service,
        table(
          `Methods of ${service}`,
          METHOD_COLUMNS,
          methods.map((method) => methodRow(method, span)),
          "methods",
        ),
      )),
    rest(all.length - busiest.length),
  ];
}

function serviceOf(method: string): string {
  return method.slice(0, method.lastIndexOf("."));
}

function methodRow({ method, calls, errors, errorCodes, inFlight, latency }: MethodStats, span: Span): Row {
  const time = (ms: number) => latency.count === 0 ? "–" : duration(ms);
  return {
    key: method,
    cells: [
      method.slice(serviceOf(method).length + 1),
      count(calls),
      rate(calls),
      errors === 0 ? "0" : [element("b", { class: "bad" }, count(errors)), small(listing({ ...errorCodes }))],
      count(inFlight),
      time(latency.p50),
      time(latency.p99),
      time(latency.max),
      latency.count === 0 ? small("no call is answered yet") : histogram(method, latency, span),
    ],
  };
}

function activitySections({ calls, streams, peers, shown, inFlight }: ServerSnapshot): Content {
  const noCalls = inFlight === 0
    ? "None. Handlers that answer at once are never seen here."
    : "None but streams.";
  return [
    listSection(
      "Calls in flight",
      calls,
      noCalls,
      (list) => table("Calls in flight, oldest first", CALL_COLUMNS, list.map(callRow), "calls"),
      MOST_CALLS,
    ),
    listSection(
      "Streams",
      streams,
      "None.",
      (list) => table("Streams, oldest first", STREAM_COLUMNS, list.flatMap(streamRows)),
      MOST_CALLS,
    ),
    listSection(
      "Connections",
      peers,
      "None.",
      (list) => table("Connections, oldest first", PEER_COLUMNS, list.map(peerRow)),
      peers.list.length,
    ),
    ...shown.map(({ name, stats }) =>
      section(name, statsContent(name, stats), note("As it tells itself; times in ms."))
    ),
  ];
}

/** Maps the first `most` items of a list, and counts the rest. */
function listSection<T>(
  heading: string,
  { list, more }: Truncated<T>,
  empty: string,
  make: (some: readonly T[]) => PageElement,
  most: number,
): PageElement {
  const some = list.slice(0, most);
  return section(
    heading,
    some.length === 0 ? note(empty) : make(some),
    rest(list.length - some.length + more),
  );
}

const CALL_COLUMNS: readonly Column[] = [["Method"], ["Peer"], ["Age", "n"], ["Time left", "n"]];

function callRow(call: CallSnapshot): Row {
  const { method, peer, identity, seq, age, abandoned } = call;
  return {
    key: `${peer} ${seq}`,
    state: abandoned ? "abandoned" : undefined,
    cells: [method, foreign(shownPeer(peer, identity)), duration(age), timeLeft(call)],
  };
}

function timeLeft({ age, timeLeft, abandoned }: CallSnapshot): Content {
  if (abandoned) return element("span", { class: "warn" }, "the caller has left");
  return timeLeft === undefined ? "any" : [elapsed(age, timeLeft), ` ${duration(timeLeft)}`];
}

const STREAM_COLUMNS: readonly Column[] = [
  ["Method"],
  ["Peer"],
  ["Age", "n"],
  ["Time left", "n"],
  ["Direction"],
  ["Items", "n"],
  ["Per second", "n"],
  ["Bytes", "n"],
  ["Credit left", "n"],
  ["Waits for"],
];

function streamRows(call: StreamSnapshot): Row[] {
  const { method, peer, identity, seq, age, receiving, sending } = call;
  const row = (direction: string, flow: FlowStats, waitsFor: string): Row => ({
    key: `${peer} ${seq} ${direction}`,
    state: call.abandoned ? "abandoned" : undefined,
    cells: [
      method,
      foreign(shownPeer(peer, identity)),
      duration(age),
      timeLeft(call),
      direction,
      count(flow.items),
      rate(flow.items),
      bytes(flow.bytes),
      `${count(flow.itemCredit)} items, ${bytes(Math.max(0, flow.byteCredit))}`,
      waitsFor,
    ],
  });
  return [
    ...receiving === undefined ? [] : [row("receiving", receiving, receivingWaitsFor(receiving))],
    ...sending === undefined ? [] : [row("sending", sending, SENDING_WAITS_FOR[sending.waitsFor])],
  ];
}

const SENDING_WAITS_FOR: Readonly<Record<FlowStats["waitsFor"], string>> = {
  credit: "credit from the peer",
  room: "room to write",
  handler: "the handler's next item",
  peer: "the peer",
  nothing: "nothing: it is over",
};

function receivingWaitsFor({ waitsFor, waiting }: FlowStats): string {
  if (waitsFor === "handler") {
    return waiting === 0 ? "the handler to ask" : `the handler to take ${count(waiting)} items`;
  }
  return waitsFor === "peer" ? "items from the peer" : "nothing: it has ended";
}

const PEER_COLUMNS: readonly Column[] = [
  ["Peer"],
  ["Transport"],
  ["Age", "n"],
  ["Silent for", "n"],
  ["Calls", "n"],
  ["Per second", "n"],
  ["In flight", "n"],
  ["Unsent", "n"],
  ["State"],
  ["Certificate"],
];

function peerRow(peer: PeerSnapshot): Row {
  const { address, identity, transport, age, silence, calls, inFlight, unsentBytes, state, codec } = peer;
  const { certificate } = peer;
  const names = certificate === undefined ? [] : [...certificate.subject, ...certificate.alternativeNames];
  return {
    key: address,
    state,
    cells: [
      foreign(shownPeer(address, identity)),
      `${transport}, ${codec.replace("application/", "")}`,
      duration(age),
      duration(silence),
      count(calls),
      rate(calls),
      count(inFlight),
      bytes(unsentBytes),
      state,
      names.length === 0 ? "none" : foreign(names.join(", ")),
    ],
  };
}

function section(heading: string, ...contents: Content[]): PageElement {
  return element("section", {}, element("h2", {}, heading), ...contents);
}

function note(text: string): PageElement {
  return element("p", { class: "rest" }, text);
}
