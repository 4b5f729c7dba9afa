// Asking a server what it offers, for the commands that live on that, with an error that says why it may not tell.

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

/** The service that tells of a server. */
export type Reflecting = ContractClient<typeof Reflection>;

/**
 * Asks one server.
 *
 * @param ask Asks it
 * @throws {RpcError | Advised} Why it cannot be asked
 */
export async function reflected<T>(
  address: string,
  invocation: Invocation,
  ask: (reflection: Reflecting) => Promise<T>,
): Promise<T> {
  await using client = await openServer(address, invocation);
  try {
    return await ask(client.service(Reflection));
  } catch (error) {
    if (!(error instanceof RpcError && error.code === "unimplemented" && error.remote)) throw error;
    throw new Advised(error, [
      `${address} does not tell what it offers: its option reflection is off, or it is older`,
    ]);
  }
}

/**
 * What a server lists or describes, if it is that.
 *
 * @throws {RpcError} `data_loss` if it is something else
 */
export function readServices(services: unknown): readonly ServiceDescription[] {
  if (Array.isArray(services) && services.every(isService)) return services;
  throw new RpcError("data_loss", "What the server says of its services cannot be read");
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
