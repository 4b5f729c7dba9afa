// Errors over HTTP, as the Connect protocol writes them: the status of each code, and the JSON of an error. Details, which
// are JSON here and protobuf messages there, are sent as one google.protobuf.Value, with the JSON as its debug text.
// https://connectrpc.com/docs/protocol#error-codes

import { type Code, RpcError } from "../call/error.ts";
import { jsonValue } from "./json_values.ts";
import { valueBytes } from "./value_bytes.ts";

const STATUS: Readonly<Record<Code, number>> = {
  canceled: 499,
  unknown: 500,
  invalid_argument: 400,
  deadline_exceeded: 504,
  not_found: 404,
  already_exists: 409,
  permission_denied: 403,
  resource_exhausted: 429,
  failed_precondition: 400,
  aborted: 409,
  out_of_range: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  data_loss: 500,
  unauthenticated: 401,
};

/** An error as clients of the Connect protocol read it. */
export interface ErrorJson {
  readonly code: Code;
  readonly message: string;
  readonly details?: readonly [{ readonly type: string; readonly value: string; readonly debug: unknown }];
}

/** The HTTP status of an error. */
export function statusOf({ code }: RpcError): number {
  return STATUS[code];
}

/**
 * An error as JSON.
 *
 * @returns Also why its details were left out, if JSON cannot carry them
 */
export function errorJson({ code, message, details }: RpcError): { json: ErrorJson; leftOut?: RpcError } {
  if (details === undefined) return { json: { code, message } };
  try {
    const debug = jsonValue(details);
    const value = valueBytes(debug).toBase64({ omitPadding: true });
    return { json: { code, message, details: [{ type: "google.protobuf.Value", value, debug }] } };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return { json: { code, message }, leftOut: new RpcError("internal", why, { cause }) };
  }
}

/** The headers by which an error says when another attempt makes sense. */
export function retryHeaders({ retryAfter }: RpcError): [string, string][] {
  return retryAfter === undefined ? [] : [["retry-after", String(Math.ceil(retryAfter / 1000))]];
}
