// A server and a client of a contract, and schemas by hand, for tests of contracts.

import { assertEquals } from "@std/assert";
import { type Client, connect, type Contract, type ContractHandlers, RpcError, Server } from "../../mod.ts";
import type { StandardIssue, StandardResult, StandardSchema } from "../../server/mod.ts";
import { fails } from "./session_pair.ts";

/** A schema by hand. */
export function schema<Input, Output = Input>(
  validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>,
): StandardSchema<Input, Output> {
  return { "~standard": { version: 1, vendor: "tests", validate } };
}

/** A schema that lets numbers from 0 on through. */
export const natural = schema<number>((value) => {
  return typeof value === "number" && value >= 0 ? { value } : { issues: [{ message: "not natural" }] };
});

/** The same, taking its time. */
export const later = schema<number>(async (value) => {
  return await natural["~standard"].validate(await Promise.resolve(value));
});

/** A schema that finds these issues in whatever it is given. */
export function finds(...issues: StandardIssue[]): StandardSchema<unknown> {
  return schema(() => ({ issues }));
}

/** A server that answers a contract, a client of it, and what the server logged. */
export class Served<C extends Contract> implements AsyncDisposable {
  readonly remote;
  private constructor(
    readonly server: Server,
    readonly client: Client,
    readonly log: [string, unknown][],
    contract: C,
  ) {
    this.remote = client.service(contract);
  }

  static async open<C extends Contract>(contract: C, handlers: ContractHandlers<C>): Promise<Served<C>> {
    const log: [string, unknown][] = [];
    const server = new Server({
      log: (message, error) => log.push([message, error]),
      // Failures of checks are not errors of the handler.
      mapError: () => new RpcError("data_loss", "mapped"),
    });
    server.register<Contract>(contract, handlers);
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return new Served(server, await connect(address), log, contract);
  }

  /** The only message in the log. */
  logged(): string {
    assertEquals(this.log.length, 1, Deno.inspect(this.log));
    const [message, more] = this.log.pop()!;
    return `${message} ${Deno.inspect(more)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.server.close();
  }
}

/** These values, one after the other. */
export async function* items<T>(...values: T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value);
}

/** What is taken from a stream until it fails, and its error. */
export async function untilItFails(stream: AsyncIterable<unknown>, code: RpcError["code"]) {
  const taken: unknown[] = [];
  const error = await fails(
    (async () => {
      for await (const item of stream) taken.push(item);
    })(),
    code,
  );
  return { taken, error };
}
