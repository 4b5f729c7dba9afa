// Asking a server what it offers, for the commands that live on that, with an error that says why it may not tell.

import { RpcError } from "../call/error.ts";
import { Reflection } from "../call/reflection.ts";
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
