// The script of the page at /debug/rpc: it fetches the page as data every second and updates only the elements that
// changed, so that nothing flickers and selection and focus stay. It never makes elements from strings. Without it, the
// page is static.

/** Keeps the page up to date. */
export const PAGE_SCRIPT = `
"use strict";
const EVERY = 1000;
const LONGEST_HISTORY = 120;
/** Without the name and password that may stand in the page's own. */
const ADDRESS = location.origin + location.pathname + "?as=page";
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
let paused = false;
let asking;
let timer;
/** When the shown page was made, on the server's clock, in ms; and the time between it and the previous one. */
let shownAt = Number(byId("page").dataset.uptime);
let passed = 0;
const history = [];

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  asking = undefined;
  if (paused || document.hidden) return;
  const asked = asking = new AbortController();
  const late = setTimeout(() => asked.abort(new Error("no answer")), 10 * EVERY);
  try {
    const response = await fetch(ADDRESS, { cache: "no-store", signal: asked.signal });
    if (!response.ok) throw new Error("status " + response.status);
    const page = await response.json();
    if (asked !== asking) return;
    show(page);
    setStatus("live");
  } catch (error) {
    if (asked !== asking) return;
    setStatus("away, trying again");
  } finally {
    clearTimeout(late);
  }
  timer = setTimeout(refresh, EVERY);
}

/** Screen readers announce it, so it is updated only when it changes. */
function setStatus(text) {
  const status = byId("status");
  if (status.textContent === text) return;
  status.textContent = text;
  status.dataset.live = text === "live" ? "yes" : "no";
}

function show(page) {
  const at = Number(page[1]["data-uptime"]);
  passed = at - shownAt;
  // The server has restarted: previous counts do not apply.
  if (passed < 0) history.length = 0;
  shownAt = at;
  update(byId("page"), page);
}

function make([tag, attributes, ...children], within) {
  const svg = tag === "svg" || within?.namespaceURI === SVG;
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  update(node, [tag, attributes, ...children]);
  return node;
}

function update(node, [, attributes, ...children]) {
  const total = attributes["data-rate"] ?? attributes["data-history"];
  if (total !== undefined && node.isConnected) return recount(node, Number(total));
  for (const { name } of [...node.attributes]) {
    if (!Object.hasOwn(attributes, name)) node.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  updateChildren(node, children);
}

/** What is in such an element is the script's own: how fast the total grows, or has grown. */
function recount(node, total) {
  const name = "rate" in node.dataset ? "rate" : "history";
  const before = Number(node.dataset[name]);
  node.dataset[name] = total;
  const rate = passed > 0 ? Math.max(0, total - before) * 1000 / passed : undefined;
  if (name === "rate") setText(node, rate === undefined ? "" : rateText(rate));
  else if (rate !== undefined) drawHistory(node, rate);
}

function updateChildren(parent, children) {
  const keys = new Set(children.map(keyOf));
  const keyed = new Map();
  for (const node of [...parent.children]) {
    const key = node.dataset?.key;
    if (key === undefined) continue;
    if (keys.has(key)) keyed.set(key, node);
    else node.remove();
  }
  let at = parent.firstChild;
  for (const child of children) {
    const key = keyOf(child);
    const found = key === undefined ? at : keyed.get(key);
    let node = found;
    if (!isLike(found, child)) node = typeof child === "string" ? document.createTextNode(child) : make(child, parent);
    else if (typeof child === "string") setData(found, child);
    else update(found, child);
    if (node !== at) parent.insertBefore(node, at);
    at = node.nextSibling;
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function keyOf(child) {
  return typeof child === "string" ? undefined : child[1]["data-key"];
}

function isLike(node, child) {
  if (node === null || node === undefined) return false;
  if (typeof child === "string") return node.nodeType === Node.TEXT_NODE;
  return node.localName === child[0] && node.dataset?.key === keyOf(child);
}

function setData(node, text) {
  if (node.data !== text) node.data = text;
}

function setText(node, text) {
  if (node.firstChild === null) node.append(text);
  else setData(node.firstChild, text);
}

function rateText(rate) {
  const digits = rate < 10 ? 1 : 0;
  return rate.toLocaleString("en-US", { maximumFractionDigits: digits }) + "/s";
}

function drawHistory(figure, rate) {
  history.push(rate);
  if (history.length > LONGEST_HISTORY) history.shift();
  if (history.length < 2) return;
  const most = Math.max(...history, 1);
  const points = history.map((each, at) =>
    (at * 240 / (history.length - 1)).toFixed(1) + " " + (46 - each / most * 44).toFixed(1)
  );
  const line = ["path", { d: "M" + points.join("L") }];
  const attributes = { "aria-hidden": "true", viewBox: "0 0 240 48", preserveAspectRatio: "none" };
  const caption = "Calls: " + rateText(rate) + " now, " + rateText(most) + " at most of late";
  updateChildren(figure, [["svg", attributes, line], ["figcaption", {}, caption]]);
  figure.hidden = false;
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) setStatus("paused");
  refresh();
});
document.addEventListener("visibilitychange", refresh);
byId("pause").hidden = false;
document.title = "RPC server at " + location.host;
setStatus("live");
timer = setTimeout(refresh, EVERY);
`;
