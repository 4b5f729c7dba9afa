// etcd v3 through the HTTP/JSON gateway that every etcd serves on its client port: the few requests that a registry
// needs, with keys and values in base64 and 64-bit numbers as text. Used by EtcdStore.
// https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/

import { RpcError } from "../call/error.ts";
import { type Clock, MAX_DELAY } from "../discovery/clock.ts";
import type { Fetch } from "../discovery/registry_request.ts";

/** A key with what etcd knows of it. */
export interface EtcdEntry {
  key: string;
  value: string;
  /** The revision that last changed it. */
  modRevision: number;
  /** "0" if it is bound to none. */
  lease: string;
}

/** What a watch tells: what changed at one revision. */
export interface EtcdChange {
  revision: number;
  set: readonly EtcdEntry[];
  removed: readonly string[];
}

/** What a write does to a key, if nobody else has changed it in the meantime. */
export interface EtcdWrite {
  key: string;
  /** 0 if there must not be one. */
  ifModRevision: number;
  /** Left out, the key is deleted. */
  value?: string;
  /** Another key, written without a value as this one is deleted. */
  note?: string;
  /** The lease to bind what is written to; "0" for none. */
  lease?: string;
}

/** What a client needs. */
export interface EtcdClientOptions {
  urls: readonly URL[];
  fetch: Fetch;
  clock: Clock;
  /** In ms, for one request to one of the URLs. */
  timeout: number;
  signal: AbortSignal;
}

/** What a watch says when its revisions are not there any more. */
export class Compacted extends Error {
  override readonly name = "Compacted";
}

/** One answer is read up to this, in bytes: 10 000 servers with all they may say are less. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;

/** A client of one etcd cluster. */
export class EtcdClient {
  readonly #options: EtcdClientOptions;
  #at = 0;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
  }

  /** All keys that begin with a prefix, and the revision as of which. */
  async range(prefix: string): Promise<{ revision: number; entries: EtcdEntry[] }> {
    const answer = await this.#ask("kv/range", { key: encode(prefix), range_end: encode(endOf(prefix)) });
    return { revision: revisionOf(answer), entries: entriesOf(answer.kvs) };
  }

  /** One key, and the revision as of which. */
  async get(key: string): Promise<{ revision: number; entry: EtcdEntry | undefined }> {
    const answer = await this.#ask("kv/range", { key: encode(key) });
    return { revision: revisionOf(answer), entry: entriesOf(answer.kvs)[0] };
  }

  /** The revision as of now; also what shows whether etcd is there and has a leader. */
  async revision(): Promise<number> {
    return revisionOf(await this.#ask("kv/range", { key: encode("\0"), count_only: true }));
  }

  /** Writes. Returns the revision, or undefined if somebody else was faster or the lease is over. */
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

  /** Makes a lease of so many seconds. Returns its id and how many they are in truth. */
  async grantLease(seconds: number): Promise<{ id: string; seconds: number }> {
    const { ID, TTL } = await this.#ask("lease/grant", { TTL: String(seconds) });
    const granted = Number(TTL);
    if (!(granted >= 1 && granted * 1_000 <= MAX_DELAY)) {
      throw new RpcError("unavailable", "Cannot use etcd's answer: its lease has no time");
    }
    return { id: String(ID), seconds: granted };
  }

  /** Returns whether the lease is still there. */
  async keepAlive(id: string): Promise<boolean> {
    const { result } = await this.#ask("lease/keepalive", { ID: id });
    return Number((result as Answer | undefined)?.TTL ?? 0) > 0;
  }

  /** Ends a lease, with what is bound to it. No error if it is over. */
  async revokeLease(id: string): Promise<void> {
    await this.#ask("lease/revoke", { ID: id }, [404]);
  }

  /**
   * Follows the keys that begin with a prefix, until the signal aborts or etcd is away.
   *
   * @throws {Compacted} If the revision is too old
   * @throws {RpcError} `unavailable` if etcd is away
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
      throw away(this.#url, cause);
    } finally {
      request.end();
    }
  }

  /** Has the next request go to the next member of the cluster. */
  useNext(): void {
    this.#at = (this.#at + 1) % this.#options.urls.length;
  }

  get #url(): URL {
    return this.#options.urls[this.#at]!;
  }

  #href(path: string): string {
    return new URL(`/v3/${path}`, this.#url).href;
  }

  /** Asks one member after the other, until one answers. What has no answer may have been done all the same. */
  async #ask(path: string, body: unknown, allowed: readonly number[] = []): Promise<Answer> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#askOne(path, body, allowed);
      } catch (error) {
        const url = this.#url;
        this.useNext();
        if (tries < this.#options.urls.length && !this.#options.signal.aborted) continue;
        throw away(url, error);
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

  /** What ends one request: `outer`, the time for an answer unless it has come, and its end. */
  #begin(
    outer: AbortSignal,
    reason: () => unknown,
  ): { readonly signal: AbortSignal; readonly answered: () => void; readonly end: () => void } {
    const { clock, timeout } = this.#options;
    const controller = new AbortController();
    const onAbort = () => controller.abort(reason());
    outer.addEventListener("abort", onAbort);
    if (outer.aborted) onAbort();
    const late = () => controller.abort(new Error(`no answer within ${timeout} ms`));
    const answered = clock.setTimer(late, timeout);
    const end = () => {
      answered();
      outer.removeEventListener("abort", onAbort);
      controller.abort();
    };
    return { signal: controller.signal, answered, end };
  }
}

type Answer = Record<string, unknown>;

/** The lines of an answer, each of which is a JSON object. */
async function* messagesOf(response: Response): AsyncGenerator<Answer, void, undefined> {
  let line = "";
  if (response.body === null) return;
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const [first = "", ...more] = chunk.split("\n");
    line += first;
    if (line.length > MAX_ANSWER_BYTES) {
      throw new Error(`an answer of its is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    for (const next of more) {
      if (line !== "") yield JSON.parse(line);
      line = next;
    }
  }
  if (line !== "") yield JSON.parse(line);
}

/** Events in the order of their revisions: those of one revision belong together. */
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

/** The first key behind all that begin with a prefix. */
function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

function encode(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

function decode(text: string): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(text));
}

function away(url: URL, cause: unknown): RpcError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RpcError("unavailable", `Cannot reach etcd at ${url.origin}: ${reason}`, { cause });
}
