// Metadata as HTTP headers: those of a request as a call's metadata, read when the first entry is looked up, and reply
// metadata as headers of the response. Names that end in -bin hold bytes, written as base64.

import { RpcError } from "../call/error.ts";
import { isMetadataName, MAX_METADATA_ENTRIES, type Metadata, NOT_STARTED } from "../call/metadata.ts";

/** Headers of requests that say how HTTP carries a call, and nothing to its handler. */
const OF_HTTP =
  /^(?:connect-|content-|accept|proxy-|access-control-|sec-|rpc-|(?:host|connection|origin|transfer-encoding|te|trailer|upgrade|keep-alive|expect|date|last-event-id)$)/;
/**
 * Names that reply metadata cannot have as a header of its own, since they say how HTTP carries the response, or make a browser
 * or a proxy do something, such as going to another place.
 */
const RESERVED =
  /^(?:connect-|content-|proxy-|access-control-|sec-|trailer|x-accel-|cross-origin-|(?:accept-post|allow|alt-svc|clear-site-data|connection|date|grpc-.*|keep-alive|link|location|nel|permissions-policy|refresh|report-to|reporting-endpoints|retry-after|server|service-worker-allowed|set-cookie|sourcemap|strict-transport-security|te|transfer-encoding|upgrade|vary|www-authenticate|x-frame-options|x-lighttpd-.*|x-sendfile.*)$)/;
/** What the value of a header may hold (RFC 9110 section 5.5), blanks at its ends aside. */
const VALUE = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;

/** The headers of a request as metadata. */
export class HeaderMetadata implements ReadonlyMap<string, string | Uint8Array> {
  readonly #headers: Headers;
  #entries: Map<string, string | Uint8Array> | undefined;

  constructor(headers: Headers) {
    this.#headers = headers;
  }

  get size(): number {
    return this.#read().size;
  }

  get(name: string): string | Uint8Array | undefined {
    return this.#read().get(name);
  }

  has(name: string): boolean {
    return this.#read().has(name);
  }

  forEach(
    callback: (value: string | Uint8Array, name: string, map: Metadata) => void,
    thisArg?: unknown,
  ): void {
    for (const [name, value] of this.#read()) callback.call(thisArg, value, name, this);
  }

  entries(): MapIterator<[string, string | Uint8Array]> {
    return this.#read().entries();
  }

  keys(): MapIterator<string> {
    return this.#read().keys();
  }

  values(): MapIterator<string | Uint8Array> {
    return this.#read().values();
  }

  [Symbol.iterator](): MapIterator<[string, string | Uint8Array]> {
    return this.#read().entries();
  }

  /** How it is logged. */
  [Symbol.for("Deno.customInspect")](inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
    return inspect(this.#read(), options);
  }

  #read(): Map<string, string | Uint8Array> {
    if (this.#entries !== undefined) return this.#entries;
    const entries = this.#entries = new Map<string, string | Uint8Array>();
    for (const [name, value] of this.#headers) {
      if (OF_HTTP.test(name) || name === NOT_STARTED || !isMetadataName(name)) continue;
      if (entries.size === MAX_METADATA_ENTRIES) break;
      entries.set(name, name.endsWith("-bin") ? bytesOr(value) : value);
    }
    return entries;
  }
}

/** Decodes base64, padded or not; returns the text itself if it is not base64. */
function bytesOr(text: string): string | Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return text;
  }
}

/**
 * Reply metadata as text by name.
 *
 * @throws {RpcError} `internal` if HTTP cannot carry an entry
 */
export function metadataTexts(metadata: Metadata | undefined): [name: string, text: string][] {
  const texts: [string, string][] = [];
  for (const [name, value] of metadata ?? []) {
    const isBytes = name.endsWith("-bin");
    if (isBytes !== (typeof value !== "string")) {
      const expected = isBytes ? "bytes, since its name ends in -bin" : "text, or a name that ends in -bin";
      throw new RpcError("internal", `Cannot send the metadata "${name}" over HTTP: expected ${expected}`);
    }
    const text = typeof value === "string" ? value : value.toBase64({ omitPadding: true });
    if (!VALUE.test(text)) {
      const message = `Cannot send the metadata "${name}" over HTTP: expected printable ASCII`;
      throw new RpcError("internal", message);
    }
    texts.push([name, text]);
  }
  return texts;
}

/**
 * Reply metadata as the headers of a response: each as `trailer-NAME`, where the Connect protocol has it, and as `NAME`
 * for everyone else, unless HTTP, browsers or proxies use that name.
 *
 * @throws {RpcError} `internal` if HTTP cannot carry an entry
 */
export function replyHeaders(metadata: Metadata | undefined): [string, string][] {
  return metadataTexts(metadata).flatMap(([name, text]): [string, string][] => {
    const trailer: [string, string] = [`trailer-${name}`, text];
    return RESERVED.test(name) ? [trailer] : [[name, text], trailer];
  });
}
