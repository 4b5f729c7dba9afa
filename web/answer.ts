// The HTTP response to one call: one value as JSON, a stream in one of its forms, or an error. Owned by an Exchange.

import { isRpcError, RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import { AnswerBody, type AnswerBodyOwner } from "./answer_body.ts";
import { errorJson, retryHeaders, statusOf } from "./errors.ts";
import { EVENTS, passes } from "./event_stream.ts";
import { jsonValue, toJson } from "./json_values.ts";
import { metadataTexts, replyHeaders } from "./metadata_headers.ts";
import type { StreamForm } from "./stream_form.ts";

/** Headers as they are given to a `Response`, in the form that costs least. */
export type HeaderList = [name: string, value: string][];

/** How an error is sent that says more by its status than by its code. */
export interface ErrorStatus {
  readonly status: number;
  readonly headers: HeaderList;
}

const CLIENT_LEFT = 499;
const JSON_TYPE: [string, string] = ["content-type", "application/json"];
const JSON_HEADERS: HeaderList = [JSON_TYPE];

/** How a request gets an answer that is a stream. */
export const STREAM_CURE =
  "send content-type application/connect+json, or accept text/event-stream or application/x-ndjson";
/** For names of methods that are unknown. */
export const NOT_FOUND: ErrorStatus = { status: 404, headers: [] };
/** For requests that accept no stream. */
export const UNSUPPORTED: ErrorStatus = {
  status: 415,
  headers: [["accept-post", "application/connect+json, application/json"]],
};

/** The response to one request. */
export class Answer {
  readonly #resolve: (response: Response) => void;
  #form: StreamForm | undefined;
  readonly #cors: HeaderList;
  readonly #owner: AnswerBodyOwner;
  #body: AnswerBody | undefined;

  /**
   * @param resolve Receives the response
   * @param form How a stream is written; undefined = not known yet
   * @param cors The headers by which a page may read it
   */
  constructor(
    resolve: (response: Response) => void,
    form: StreamForm | undefined,
    cors: HeaderList,
    owner: AnswerBodyOwner,
  ) {
    this.#resolve = resolve;
    this.#form = form;
    this.#cors = cors;
    this.#owner = owner;
    if (form?.headFirst) this.open(form);
  }

  /** Sends the head of a stream. */
  open(form: StreamForm): void {
    if (this.#body !== undefined) return;
    this.#form = form;
    const { contentType, comment } = form;
    this.#body = new AnswerBody(this.#owner, comment);
    const headers: HeaderList = [["content-type", contentType], ["cache-control", "no-store"], ...this.#cors];
    this.#resolve(new Response(this.#body.readable, { headers }));
  }

  /**
   * Sends a value: as the whole answer, or as the only item of a stream.
   *
   * @throws If it cannot be sent, in which case nothing was
   */
  value(value: unknown, metadata: Metadata | undefined): void {
    if (this.#body === undefined) {
      // Its own way to write JSON costs least.
      if (metadata === undefined && this.#cors.length === 0) {
        return this.#resolve(Response.json(jsonValue(value)));
      }
      return this.#send(200, toJson(value), replyHeaders(metadata));
    }
    const json = toJson(value);
    const end = this.#form!.end(undefined, metadataTexts(metadata));
    this.#body.write(this.#form!.item(json));
    this.#body.finish(end);
  }

  /**
   * Sends an item of a stream.
   *
   * @returns Its length in bytes
   * @throws If it cannot be sent
   */
  item(value: unknown): number {
    const bytes = this.#form!.item(toJson(value));
    this.#body!.write(bytes);
    return bytes.length;
  }

  /**
   * Sends the end of a stream.
   *
   * @throws If it cannot be sent, in which case nothing was
   */
  end(metadata: Metadata | undefined): void {
    this.#body!.finish(this.#form!.end(undefined, metadataTexts(metadata)));
  }

  /**
   * Sends an error, where a stream was begun as its end.
   *
   * @param special Its status, where the code does not say it
   * @returns Why some of what it carries was left out, if it was
   */
  error(error: RpcError, metadata: Metadata | undefined, special?: ErrorStatus): RpcError | undefined {
    try {
      return this.#error(error, metadata, special);
    } catch (cause) {
      this.#error(error, undefined, special);
      return unsendable(cause);
    }
  }

  /** The client has left. Deno.serve still waits for a response, and for its end. */
  drop(): void {
    if (this.#body === undefined) this.#resolve(new Response(null, { status: CLIENT_LEFT }));
    else this.#body.finish(new Uint8Array());
  }

  #error(error: RpcError, metadata: Metadata | undefined, special?: ErrorStatus): RpcError | undefined {
    const { json, leftOut } = errorJson(error);
    const texts = metadataTexts(metadata);
    // EventSource gives up at every other status.
    if (this.#form === EVENTS && passes(error.code)) this.open(EVENTS);
    if (this.#body !== undefined) {
      this.#body.finish(this.#form!.end(json, texts));
      return leftOut;
    }
    const status = special?.status ?? statusOf(error);
    const headers = [...replyHeaders(metadata), ...retryHeaders(error), ...special?.headers ?? []];
    if (status === 401) headers.push(["www-authenticate", "Bearer"]);
    this.#send(status, JSON.stringify(json), headers);
    return leftOut;
  }

  #send(status: number, json: string, headers: HeaderList): void {
    const plain = headers.length === 0 && this.#cors.length === 0;
    const all = plain ? JSON_HEADERS : [JSON_TYPE, ...headers, ...this.#cors];
    this.#resolve(new Response(json, { status, headers: all }));
  }
}

/** Why something cannot be sent, as the runner of its call takes it. */
export function unsendable(error: unknown): RpcError {
  if (isRpcError(error)) return error;
  return new RpcError("invalid_argument", error instanceof Error ? error.message : String(error));
}
