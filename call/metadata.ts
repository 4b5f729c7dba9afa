// Metadata: small named values sent with a call's arguments or answer. Checked here when an application passes it in; the
// frame decoder applies the same rules to what a peer sends.

import { isPlainObject, typedArrayName } from "./cross_realm.ts";

/** Received metadata: names with text or bytes. */
export type Metadata = ReadonlyMap<string, string | Uint8Array>;

/**
 * Metadata to send: a plain object, a Map, or pairs of name and value, such as `Headers` and `URLSearchParams`.
 */
export type MetadataInit =
  | Metadata
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [name: string, value: string | Uint8Array]>;

/** Maximum number of metadata entries of one call. */
export const MAX_METADATA_ENTRIES = 64;

const NAME = /^[a-z0-9_.-]{1,64}$/;

/** Metadata name in an Error frame that marks a call whose handler was not started. */
export const NOT_STARTED = "not-started";

/** Metadata name in an Error frame with the delay in ms after which a retry is worthwhile: 1 to 9 digits. */
export const RETRY_AFTER = "rpc-retry-after";

/** Metadata name of the application's data that accompanies a trace (W3C Baggage). */
const BAGGAGE = "baggage";

/** Property of metadata that several calls share. */
const SHARED = Symbol("shared");

/** What is known of metadata that several calls share. */
export interface Sharing {
  /** Whether it has names that are reserved for the protocol. */
  readonly reserved: boolean;
  /** Its encoding, once it was sent. */
  bytes: Uint8Array | undefined;
}

/**
 * Makes valid metadata without bytes unchangeable, so that calls can share it: the methods that would change it throw.
 */
export function shared(metadata: Map<string, string | Uint8Array>): Metadata {
  const value = () => {
    throw new TypeError("Cannot change metadata that calls share: copy it with new Map(metadata)");
  };
  const sharing: Sharing = { reserved: [...metadata.keys()].some(isReserved), bytes: undefined };
  const properties = { set: { value }, delete: { value }, clear: { value }, [SHARED]: { value: sharing } };
  return Object.freeze(Object.defineProperties(metadata, properties));
}

/** Empty metadata, shared by all calls without metadata. */
export const NO_METADATA: Metadata = shared(new Map());

/** What is known of metadata that calls share, and that therefore never changes; undefined of other metadata. */
export function sharingOf(metadata: Metadata): Sharing | undefined {
  return (metadata as { [SHARED]?: Sharing })[SHARED];
}

/** Whether all values are text, so that the metadata can be made unchangeable. */
export function isText(metadata: Metadata): boolean {
  for (const value of metadata.values()) if (typeof value !== "string") return false;
  return true;
}

/** Whether `name` is a valid metadata name: 1 to 64 of `a-z 0-9 - _ .`, and not `__proto__`. */
export function isMetadataName(name: string): boolean {
  return NAME.test(name) && name !== "__proto__";
}

/** Whether `name` is reserved for the protocol: applications neither set nor see it. */
function isReserved(name: string): boolean {
  return name === NOT_STARTED || name.startsWith("rpc-");
}

/** Received metadata without the names that are reserved for the protocol. */
export function applicationMetadata(metadata: Metadata | undefined): Metadata {
  if (metadata === undefined) return NO_METADATA;
  if (sharingOf(metadata)?.reserved === false) return metadata;
  for (const name of metadata.keys()) {
    if (isReserved(name)) return new Map([...metadata].filter(([name]) => !isReserved(name)));
  }
  // Usually no name is reserved, and a copy would cost more than the check.
  return metadata;
}

/**
 * Adds entries of the library, such as a trace, up to the maximum number of entries; the last ones are omitted first.
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
 * Alternatives for metadata that is too long because of the library's entries: first without the baggage, which may be long,
 * then only the application's own entries.
 *
 * @param all The application's entries and those that the library added
 * @param own The application's entries
 */
export function* shortened(
  all: Metadata | undefined,
  own: Metadata | undefined,
): Generator<Metadata | undefined> {
  if (all?.has(BAGGAGE) && !own?.has(BAGGAGE)) yield new Map([...all].filter(([name]) => name !== BAGGAGE));
  yield own;
}

/**
 * Validates an application's metadata and converts it to a Map.
 *
 * @throws {TypeError} If a name or a value is invalid, a name occurs twice, or a name is reserved for the protocol
 * @throws {RangeError} If there are more than 64 entries
 */
export function toMetadata(init: MetadataInit | undefined): Metadata | undefined {
  if (init === undefined) return undefined;
  if (init instanceof Map && sharingOf(init)?.reserved === false) return init.size > 0 ? init : undefined;
  const map = init instanceof Map ? new Map<string, string | Uint8Array>(init) : mapOf(init);
  if (map.size === 0) return undefined;
  if (map.size > MAX_METADATA_ENTRIES) {
    throw new RangeError(
      `Cannot use metadata: expected at most ${MAX_METADATA_ENTRIES} entries, got ${map.size}`,
    );
  }
  for (const [name, value] of map) {
    if (typeof name !== "string" || !isMetadataName(name)) {
      throw new TypeError(
        `Cannot use metadata name ${JSON.stringify(name)}: expected 1 to 64 of a-z 0-9 - _ .`,
      );
    }
    if (isReserved(name)) {
      throw new TypeError(`Cannot use metadata name "${name}": it is reserved for the protocol`);
    }
    if (typeof value === "string") {
      if (value.isWellFormed()) continue;
      throw new TypeError(`Cannot use metadata "${name}": its text has a lone surrogate`);
    }
    if (typedArrayName(value) !== "Uint8Array") {
      throw new TypeError(`Cannot use metadata "${name}": expected text or a Uint8Array`);
    }
    // Copied, since the call may be queued and the caller may change the bytes meanwhile.
    map.set(name, new Uint8Array(value as Uint8Array));
  }
  return map;
}

/** The entries of metadata that is not a Map of this realm. */
function mapOf(init: Exclude<MetadataInit, Metadata>): Map<string, string | Uint8Array> {
  const map = new Map<string, string | Uint8Array>();
  for (const entry of entriesOf(init)) {
    if (!Array.isArray(entry) || entry.length !== 2) throw invalidMetadata();
    const [name, value] = entry;
    if (map.has(name)) throw new TypeError(`Cannot use metadata: duplicate name ${JSON.stringify(name)}`);
    map.set(name, value);
  }
  return map;
}

/** The entries of an iterable or plain object. Other class instances throw: none of their content would be sent. */
function entriesOf(init: unknown): Iterable<unknown> {
  if (typeof init !== "object" || init === null) throw invalidMetadata();
  if (typeof (init as Iterable<unknown>)[Symbol.iterator] === "function") return init as Iterable<unknown>;
  if (isPlainObject(init)) return Object.entries(init);
  throw invalidMetadata();
}

function invalidMetadata(): TypeError {
  return new TypeError(
    "Cannot use metadata: expected a plain object, a Map, or pairs of a name and text or bytes",
  );
}
