// The script of the registry's web page. Text from servers is inserted as text nodes, never parsed as markup.

/** Follows the event stream, renders the list, and changes the state of servers. */
export const PAGE_SCRIPT = `
"use strict";
const URL_OF_LIST = "/_rpc_/registry";
const MOST_ROWS = 500;
const servers = new Map();
const byId = (id) => document.getElementById(id);
let token = "";
let revision;
let following;

function headers(more) {
  return token === "" ? { ...more } : { ...more, authorization: "Bearer " + token };
}

function show(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = text === "";
}

function setStatus(live, text) {
  byId("status").dataset.live = live ? "yes" : "no";
  byId("status").textContent = text;
}

/** Follows the list: reconnects after each end of the stream, from the last known revision. */
async function follow(signal) {
  for (;;) {
    try {
      await readStream(signal);
    } catch (error) {
      if (signal.aborted) return;
      setStatus(false, error.message);
      if (error.needsToken) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function readStream(signal) {
  const url = URL_OF_LIST + "?all&watch=" + (revision ?? "");
  const response = await fetch(url, { headers: headers(), signal });
  if (!response.ok) throw await refusal(response);
  setStatus(true, "live");
  show("problem", "");
  let text = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("disconnected, retrying");
    text += value;
    for (let end = text.indexOf("\\n\\n"); end >= 0; end = text.indexOf("\\n\\n")) {
      take(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

async function refusal(response) {
  const reason = await response.json().then(({ error }) => error.message, () => "status " + response.status);
  const error = new Error(reason);
  error.needsToken = response.status === 401;
  if (error.needsToken) byId("token-form").hidden = false;
  return error;
}

function take(event) {
  const fields = new Map(event.split("\\n").map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  }));
  const name = fields.get("event");
  if (name !== "list" && name !== "change") return;
  const data = JSON.parse(fields.get("data"));
  if (name === "list") servers.clear();
  for (const address of data.removed ?? []) servers.delete(address);
  for (const server of data.set ?? data.servers) servers.set(server.address, timed(server));
  revision = data.revision;
  requestRender();
}

/** Replaces times that have passed by points in time. */
function timed(server) {
  const now = performance.now();
  return { ...server, born: now - server.age, beat: server.idle === undefined ? undefined : now - server.idle };
}

/** Heartbeats are not events: asks for them while the list is short and someone looks. */
async function updateHeartbeats() {
  if (document.hidden || servers.size > MOST_ROWS || byId("status").dataset.live !== "yes") return;
  try {
    const response = await fetch(URL_OF_LIST + "?all", { headers: headers() });
    if (!response.ok) return;
    for (const server of (await response.json()).servers) {
      const known = servers.get(server.address);
      if (known !== undefined) known.beat = timed(server).beat;
    }
  } catch {
    // The stream of events says that the registry is away.
  }
}

let rendering = false;
function requestRender() {
  if (rendering) return;
  rendering = true;
  setTimeout(() => {
    rendering = false;
    render();
  });
}

function element(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function cell(label, text, className = "") {
  const node = element("td", { className }, String(text));
  node.dataset.label = label;
  return node;
}

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return seconds + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  return seconds < 86400 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " d";
}

function render() {
  byId("revision").textContent = revision ?? "–";
  renderServices();
  const words = byId("filter").value.toLowerCase();
  const all = [...servers.values()].sort((a, b) => a.address < b.address ? -1 : 1);
  const found = all.filter((server) => JSON.stringify(server).toLowerCase().includes(words));
  byId("instances").replaceChildren(...found.slice(0, MOST_ROWS).map(instanceRow));
  showAges();
  const rest = found.length - MOST_ROWS;
  show("rest", rest > 0 ? rest + " more: use the filter" : found.length === 0 ? "No instances" : "");
}

function showAges() {
  const now = performance.now();
  for (const age of document.querySelectorAll(".age")) {
    const since = age.since();
    age.textContent = since === undefined ? "–" : duration(now - since);
  }
}

function renderServices() {
  const services = new Map();
  for (const server of servers.values()) {
    for (const name of server.services ?? []) {
      const sum = services.get(name) ?? { active: 0, other: 0, weight: 0 };
      services.set(name, sum);
      if (server.state === "active") {
        sum.active++;
        sum.weight += server.weight ?? 1;
      } else sum.other++;
    }
  }
  const rows = [...services].sort(([a], [b]) => a < b ? -1 : 1).slice(0, MOST_ROWS);
  byId("services").replaceChildren(...rows.map(([name, { active, other, weight }]) =>
    element("tr", {}, cell("Service", name), cell("Taking calls", active, "n"),
      cell("Paused, draining", other, "n"), cell("Weight", weight, "n"))
  ));
}

/** A cell with the time since a point in time; both grow without events. */
function ageCell(label, since) {
  return Object.assign(cell(label, "", "n age"), { since });
}

/** The address, as a link to the server's page if it is known: from the metadata, or on the server's own HTTP port. */
function addressCell({ address, metadata }) {
  const [, secure, host] = /^(?:http|ws(s)?)@([^/]+)/.exec(address) ?? [];
  const own = host === undefined ? undefined : (secure ? "https://" : "http://") + host + "/debug/rpc";
  const page = /^https?:[/][/]/.test(metadata?.page) ? metadata.page : own;
  const node = cell("Address", page === undefined ? address : "");
  if (page !== undefined) node.append(element("a", { href: page, rel: "noreferrer" }, address));
  return node;
}

function instanceRow(server) {
  const shown = Object.entries(server.metadata ?? {}).filter(([name]) => name !== "page");
  const metadata = shown.map(([name, value]) => name + "=" + value).join(", ");
  const row = element(
    "tr",
    {},
    addressCell(server),
    cell("Services", (server.services ?? []).join(", ")),
    cell("Version", server.version ?? ""),
    cell("Weight", server.weight ?? 1, "n"),
    cell("State", server.state, "state"),
    ageCell("Age", () => server.born),
    ageCell("Heartbeat", () => servers.size > MOST_ROWS ? undefined : server.beat),
    cell("Lease", server.ttl === 0 ? "none" : duration(server.ttl), "n"),
    cell("Metadata", metadata, "metadata"),
    actions(server),
  );
  row.dataset.state = server.state;
  row.dataset.address = server.address;
  return row;
}

function actions({ address, state }) {
  const button = (text, target) =>
    element("button", { type: "button", onclick: () => setState(address, target) }, text);
  const buttons = state === "active"
    ? [button("Pause", "paused"), button("Drain", "draining")]
    : [button("Resume", "active")];
  return element("td", { className: "actions" }, ...buttons);
}

async function setState(address, state) {
  const url = URL_OF_LIST + "?" + new URLSearchParams({ address, state });
  try {
    const response = await fetch(url, { method: "POST", headers: headers() });
    if (!response.ok) throw await refusal(response);
    show("problem", "");
  } catch (error) {
    show("problem", error.message);
  }
}

function start() {
  following?.abort();
  following = new AbortController();
  follow(following.signal);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  byId("token").value = "";
  byId("token-form").hidden = true;
  show("problem", "");
  start();
});
byId("filter").addEventListener("input", requestRender);
// Ages grow without events.
setInterval(showAges, 1000);
setInterval(updateHeartbeats, 5000);
document.title = "Registry at " + location.host;
start();
`;
