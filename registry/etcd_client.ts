// Client for etcd v3 through the HTTP/JSON gateway that every etcd serves on its client port: the few
// requests that a registry needs, with keys and values in base64 and 64-bit numbers as strings. Used by
// EtcdStore.
// https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/

import { RpcError } from "../call/error.ts";
import { type Clock, MAX_DELAY } from "../discovery/clock.ts";
import type { Fetch } from "../discovery/registry_request.ts";

/** A key with its metadata. */
export interface EtcdEntry {
  key: string;
  value: string;
  /** The revision that last changed it. */
  modRevision: number;
  /** The id of the lease the key is attached to; "0" without one. */
  lease: string;
}

/** An event of a watch: everything that changed at one revision. */
export interface EtcdChange {
  revision: number;
  set: readonly EtcdEntry[];
  removed: readonly string[];
}

/** A conditional write of one key: applied only if the key has not changed since it was read. */
export interface EtcdWrite {
  key: string;
  /** The revision at which the key was last modified; 0 if it must not exist. */
  ifModRevision: number;
  /** The new value. Omitted: the key is deleted. */
  value?: string;
  /** Another key, written with an empty value when this one is deleted. */
  note?: string;
  /** The lease to attach the written key to; "0" for none. */
  lease?: string;
}

/** Dependencies of a client. */
export interface EtcdClientOptions {
  urls: readonly URL[];
  fetch: Fetch;
  clock: Clock;
  /** Timeout in ms for one request to one URL. */
  timeout: number;
  signal: AbortSignal;
}

/** Thrown by a watch whose start revision has been compacted. */
export class Compacted extends Error {
  override readonly name = "Compacted";
}

/** Maximum size of one response, in bytes: 10 000 servers with maximum descriptions are smaller. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;

/** Client of one etcd cluster. */
export class EtcdClient {
  readonly #options: EtcdClientOptions;
  #at = 0;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
  }

  /** Reads all keys with a prefix, and the revision of the snapshot. */
  async range(prefix: string): Promise<{ revision: number; entries: EtcdEntry[] }> {
    const answer = await this.#ask("kv/range", { key: encode(prefix), range_end: encode(endOf(prefix)) });
    return { revision: revisionOf(answer), entries: entriesOf(answer.kvs) };
  }

  /** Reads one key, and the revision of the snapshot. */
  async get(key: string): Promise<{ revision: number; entry: EtcdEntry | undefined }> {
    const answer = await this.#ask("kv/range", { key: encode(key) });
    return { revision: revisionOf(answer), entry: entriesOf(answer.kvs)[0] };
  }

  /** The current revision. Also serves as the health check: it needs a reachable etcd with a leader. */
  async revision(): Promise<number> {
    return revisionOf(await this.#ask("kv/range", { key: encode("\0"), count_only: true }));
  }

  /**
   * Writes a key. Returns the new revision, or undefined if the key has changed meanwhile or the lease has
   * expired.
   */
  async write({ key, ifModRevision, value, note, lease = "0" }: EtcdWrite): Promise<number | undefined> {
    const put = (key: string, value: string) => ({
      request_put: { key: encode(key), value: encode(value), lease },
    });
    const operations = value === undefined
      ? [{ request_delete_range: { key: encode(key) } }, ...(note === undefined ? [] : [put(note, "")])]
      : [put(key, value)];
    const answer = await this.#ask("kv/txn", {
      compare: [{ key: encode(key), target: "MOD", result: "EQUAL", mod_revision: String(ifModRevision) }],
      success: operations,
    }, [404]);
    return answer.succeeded === true ? revisionOf(answer) : undefined;
  }

  /** Creates a lease. Returns its id and the granted duration in seconds, which etcd may have raised. */
  async grantLease(seconds: number): Promise<{ id: string; seconds: number }> {
    const { ID, TTL } = await this.#ask("lease/grant", { TTL: String(seconds) });
    const granted = Number(TTL);
    if (!(granted >= 1 && granted * 1_000 <= MAX_DELAY)) {
      throw new RpcError(
        "unavailable",
        "Cannot use etcd's response: the granted lease has no valid duration",
      );
    }
    return { id: String(ID), seconds: granted };
  }

  /** Renews a lease. Returns whether it still exists. */
  async keepAlive(id: string): Promise<boolean> {
    const { result } = await this.#ask("lease/keepalive", { ID: id });
    return Number((result as Answer | undefined)?.TTL ?? 0) > 0;
  }

  /** Revokes a lease and deletes the keys attached to it. An expired lease is not an error. */
  async revokeLease(id: string): Promise<void> {
    await this.#ask("lease/revoke", { ID: id }, [404]);
  }

  /**
   * Follows the keys with a prefix, until the signal aborts or etcd becomes unreachable.
   *
   * @throws {Compacted} If the start revision has been compacted
   * @throws {RpcError} `unavailable` if etcd is unreachable
   */
  async *watch(
    prefix: string,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<EtcdChange, void, undefined> {
    const request = this.#begin(signal, () => signal.reason);
    try {
      const response = await this.#options.fetch(this.#href("watch"), {
        method: "POST",
        body: JSON.stringify({
          create_request: {
            key: encode(prefix),
            range_end: encode(endOf(prefix)),
            start_revision: String(from),
          },
        }),
        signal: request.signal,
      });
      for await (const message of messagesOf(response)) {
        const result = (message.result ?? {}) as Answer;
        if (result.created === true) request.answered();
        if (Number(result.compact_revision ?? 0) > 0) throw new Compacted();
        if (message.error !== undefined || result.canceled === true) {
          throw new Error("the watch was canceled");
        }
        const events = (result.events ?? []) as { type?: string; kv: unknown }[];
        yield* changesOf(events);
      }
      throw new Error("the watch has ended");
    } catch (cause) {
      if (signal.aborted) return;
      if (cause instanceof Compacted) throw cause;
      throw unavailable(this.#url, cause);
    } finally {
      request.end();
    }
  }

  /** Makes the next request use the next member of the cluster. */
  useNext(): void {
    this.#at = (this.#at + 1) % this.#options.urls.length;
  }

  get #url(): URL {
    return this.#options.urls[this.#at]!;
  }

  #href(path: string): string {
    return new URL(`/v3/${path}`, this.#url).href;
  }

  /**
   * Tries the members in turn until one answers. A request without a response may still have been applied.
   */
  async #ask(path: string, body: unknown, allowed: readonly number[] = []): Promise<Answer> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#askOne(path, body, allowed);
      } catch (error) {
        const url = this.#url;
        this.useNext();
        if (tries < this.#options.urls.length && !this.#options.signal.aborted) continue;
        throw unavailable(url, error);
      }
    }
  }

  async #askOne(path: string, body: unknown, allowed: readonly number[]): Promise<Answer> {
    const request = this.#begin(this.#options.signal, () => new Error("the store is closed"));
    try {
      const response = await this.#options.fetch(this.#href(path), {
        method: "POST",
        body: JSON.stringify(body),
        signal: request.signal,
      });
      let answer: Answer = {};
      for await (const message of messagesOf(response)) answer = message;
      if (response.status === 200 || allowed.includes(response.status)) return answer;
      throw new Error(
        `${String(answer.error ?? "no reason given").slice(0, 200)} (status ${response.status})`,
      );
    } finally {
      request.end();
    }
  }

  /**
   * Creates the signal of one request: aborted by `outer`, by the timeout unless `answered` is called, and by
   * `end`.
   */
  #begin(
    outer: AbortSignal,
    reason: () => unknown,
  ): { readonly signal: AbortSignal; readonly answered: () => void; readonly end: () => void } {
    const { clock, timeout } = this.#options;
    const controller = new AbortController();
    const onAbort = () => controller.abort(reason());
    outer.addEventListener("abort", onAbort);
    if (outer.aborted) onAbort();
    const onTimeout = () => controller.abort(new Error(`no answer within ${timeout} ms`));
    const answered = clock.setTimer(onTimeout, timeout);
    const end = () => {
      answered();
      outer.removeEventListener("abort", onAbort);
      controller.abort();
    };
    return { signal: controller.signal, answered, end };
  }
}

type Answer = Record<string, unknown>;

/** Parses a response as newline-delimited JSON objects. */
async function* messagesOf(response: Response): AsyncGenerator<Answer, void, undefined> {
  let line = "";
  if (response.body === null) return;
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const [first = "", ...more] = chunk.split("\n");
    line += first;
    if (line.length > MAX_ANSWER_BYTES) {
      throw new Error(`a message of the response is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    for (const next of more) {
      if (line !== "") yield JSON.parse(line);
      line = next;
    }
  }
  if (line !== "") yield JSON.parse(line);
}

/** Groups events by revision, in order. */
function* changesOf(
  events: readonly { type?: string; kv: unknown }[],
): Generator<EtcdChange, void, undefined> {
  const byRevision = new Map<number, { set: EtcdEntry[]; removed: string[] }>();
  for (const { type, kv } of events) {
    const [entry] = entriesOf([kv]);
    if (entry === undefined) continue;
    const change = byRevision.get(entry.modRevision) ?? { set: [], removed: [] };
    byRevision.set(entry.modRevision, change);
    if (type === "DELETE") change.removed.push(entry.key);
    else change.set.push(entry);
  }
  for (const [revision, change] of byRevision) yield { revision, ...change };
}

function entriesOf(kvs: unknown): EtcdEntry[] {
  return ((kvs ?? []) as Record<string, string>[]).map((
    { key = "", value = "", mod_revision, lease = "0" },
  ) => ({
    key: decode(key),
    value: decode(value),
    modRevision: Number(mod_revision),
    lease,
  }));
}

function revisionOf(answer: Answer): number {
  return Number((answer.header as Answer | undefined)?.revision ?? 0);
}

/** The first key after all keys with a prefix. */
function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

function encode(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

function decode(text: string): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(text));
}

function unavailable(url: URL, cause: unknown): RpcError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RpcError("unavailable", `Cannot reach etcd at ${url.origin}: ${reason}`, { cause });
}
