// Metadata: small named values that travel beside a call's arguments. Checked here where a user hands it in;
// the frame decoder applies the same rules to what a peer sends.

import { isPlainObject, typedArrayName } from "./realm.ts";

/** Metadata as it arrives: names to text or bytes. */
export type Metadata = ReadonlyMap<string, string | Uint8Array>;

/**
 * Metadata as it may be handed in: a plain object, a Map, or pairs of name and value, such as `Headers` and
 * `URLSearchParams`.
 */
export type MetadataInit =
  | Metadata
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [name: string, value: string | Uint8Array]>;

/** How many entries one call's metadata may have. */
export const MAX_METADATA_ENTRIES = 64;

const NAME = /^[a-z0-9_.-]{1,64}$/;

/** The name by which an Error frame says that no handler was started. */
export const NOT_STARTED = "not-started";

/** The name by which an Error frame says after how many ms another attempt makes sense: 1 to 9 digits. */
export const RETRY_AFTER = "rpc-retry-after";

/** The name of what goes along with a trace for the application's own use (W3C Baggage). */
const BAGGAGE = "baggage";

/** Metadata without entries, shared by all calls that carry none. */
export const NO_METADATA: Metadata = new Map();

/** Whether `name` may name a metadata entry: 1 to 64 of `a-z 0-9 - _ .`, and not `__proto__`. */
export function isMetadataName(name: string): boolean {
  return NAME.test(name) && name !== "__proto__";
}

/** Whether `name` is the protocol's own, which applications neither set nor see. */
function isReserved(name: string): boolean {
  return name === NOT_STARTED || name.startsWith("rpc-");
}

/** What applications see of metadata that has arrived: all but the protocol's own. */
export function ofApplication(metadata: Metadata | undefined): Metadata {
  if (metadata === undefined) return NO_METADATA;
  for (const name of metadata.keys()) {
    if (isReserved(name)) return new Map([...metadata].filter(([name]) => !isReserved(name)));
  }
  // Mostly there is nothing to leave out, and a copy would cost as much as all the rest.
  return metadata;
}

/**
 * Adds entries of the library's own, such as a trace, as far as there is room for them: the last ones are left out first.
 */
export function withEntries(
  own: Metadata | undefined,
  added: Iterable<readonly [string, string | Uint8Array]>,
): Metadata {
  const all = new Map(own);
  for (const [name, value] of added) {
    if (all.size < MAX_METADATA_ENTRIES || all.has(name)) all.set(name, value);
  }
  return all;
}

/**
 * What to send instead of metadata that are too long with what the library has added: without the baggage first, which may
 * be long, then the application's own alone.
 *
 * @param all With what was added
 */
export function* shortened(
  all: Metadata | undefined,
  own: Metadata | undefined,
): Generator<Metadata | undefined> {
  if (all?.has(BAGGAGE) && !own?.has(BAGGAGE)) yield new Map([...all].filter(([name]) => name !== BAGGAGE));
  yield own;
}

/**
 * Checks what a user handed in and makes it a Map.
 *
 * @throws {TypeError} If a name or a value is not allowed or there twice, or a name is the protocol's own
 * @throws {RangeError} If there are more than 64 entries
 */
export function toMetadata(init: MetadataInit | undefined): Metadata | undefined {
  if (init === undefined) return undefined;
  const map = init instanceof Map ? new Map<string, string | Uint8Array>(init) : mapOf(init);
  if (map.size === 0) return undefined;
  if (map.size > MAX_METADATA_ENTRIES) {
    throw new RangeError(`Cannot use metadata: ${map.size} entries are more than ${MAX_METADATA_ENTRIES}`);
  }
  for (const [name, value] of map) {
    if (typeof name !== "string" || !isMetadataName(name)) {
      throw new TypeError(
        `Cannot use metadata name ${JSON.stringify(name)}: names are 1 to 64 of a-z 0-9 - _ .`,
      );
    }
    if (isReserved(name)) {
      throw new TypeError(`Cannot use metadata name "${name}": it is the protocol's own`);
    }
    if (typeof value === "string") {
      if (value.isWellFormed()) continue;
      throw new TypeError(`Cannot use metadata "${name}": its text has a lone surrogate`);
    }
    if (typedArrayName(value) !== "Uint8Array") {
      throw new TypeError(`Cannot use metadata "${name}": values are text or a Uint8Array`);
    }
    // A copy: the call may have to wait, and what is sent is what the bytes are now.
    map.set(name, new Uint8Array(value as Uint8Array));
  }
  return map;
}

/** The entries of what is no Map of this realm. */
function mapOf(init: Exclude<MetadataInit, Metadata>): Map<string, string | Uint8Array> {
  const map = new Map<string, string | Uint8Array>();
  for (const entry of entriesOf(init)) {
    if (!Array.isArray(entry) || entry.length !== 2) throw unusable();
    const [name, value] = entry;
    if (map.has(name)) throw new TypeError(`Cannot use metadata: ${JSON.stringify(name)} is there twice`);
    map.set(name, value);
  }
  return map;
}

/** Refuses instances of classes that are not iterable: nothing of them would be sent. */
function entriesOf(init: unknown): Iterable<unknown> {
  if (typeof init !== "object" || init === null) throw unusable();
  if (typeof (init as Iterable<unknown>)[Symbol.iterator] === "function") return init as Iterable<unknown>;
  if (isPlainObject(init)) return Object.entries(init);
  throw unusable();
}

function unusable(): TypeError {
  return new TypeError(
    "Cannot use metadata: expected a plain object, a Map, or pairs of a name and text or bytes",
  );
}
