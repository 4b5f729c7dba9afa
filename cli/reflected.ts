// Queries a server's reflection service, and explains why a server may not have it. Used by commands that
// need it.

import { RpcError } from "../call/error.ts";
import {
  type MethodDescription,
  Reflection,
  type SchemaDescription,
  type ServiceDescription,
} from "../call/reflection.ts";
import type { ContractClient } from "../call/typed.ts";
import { Advised } from "./advice.ts";
import type { Invocation } from "./command.ts";
import { openServer } from "./target.ts";

/** Client of the reflection service. */
export type ReflectionClient = ContractClient<typeof Reflection>;

/**
 * Queries one server.
 *
 * @param query The query
 * @throws {RpcError | Advised} If the query fails
 */
export async function reflected<T>(
  address: string,
  invocation: Invocation,
  query: (reflection: ReflectionClient) => Promise<T>,
): Promise<T> {
  await using client = await openServer(address, invocation);
  try {
    return await query(client.service(Reflection));
  } catch (error) {
    if (!(error instanceof RpcError && error.code === "unimplemented" && error.remote)) throw error;
    throw new Advised(error, [
      `${address} does not support reflection: its option reflection is off, or its version is too old`,
    ]);
  }
}

/**
 * Checks the response of a `list` or `describe`.
 *
 * @throws {RpcError} `data_loss` if it is malformed
 */
export function readServices(services: unknown): readonly ServiceDescription[] {
  if (Array.isArray(services) && services.every(isService)) return services;
  throw new RpcError("data_loss", "Cannot read the server's description of its services");
}

function isService(service: Partial<ServiceDescription> | null | undefined): boolean {
  return typeof service?.name === "string" && Array.isArray(service.methods) &&
    service.methods.every(isMethod);
}

function isMethod(method: Partial<MethodDescription> | null | undefined): boolean {
  return typeof method?.method === "string" && isSchema(method.args) && isSchema(method.result);
}

function isSchema(schema: Partial<SchemaDescription> | null | undefined): boolean {
  if (schema === undefined) return true;
  const { vendor, jsonSchema = {} } = schema ?? {};
  return typeof vendor === "string" && typeof jsonSchema === "object" && jsonSchema !== null;
}
