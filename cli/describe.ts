// The command `describe`: one service or method, with the schemas of its arguments and results.

import { RpcError } from "../call/error.ts";
import type { MethodDescription, SchemaDescription, ServiceDescription } from "../call/reflection.ts";
import type { Command, Invocation } from "./command.ts";
import { idempotence, kindOf } from "./kinds.ts";
import { readServices, reflected } from "./reflected.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, listServers, readTarget, SERVICE_FLAG } from "./target.ts";
import { printable } from "./format.ts";

/** Describes a service or a method. */
export const describe: Command = {
  name: "describe",
  summary: "Describes a service or a method, with schemas",
  operands: "ADDRESS NAME",
  about:
    `NAME is a service, such as Arith, or a method, such as Arith.sum. Schemas are shown as JSON Schema if
the schema's library supports Standard JSON Schema (zod, arktype); otherwise only the name of the
library is shown. With a registry, the first server that knows the name is described.`,
  flags: [...CONNECT_FLAGS, SERVICE_FLAG, { name: "json", help: "Print JSON, on one line" }],
  examples: [
    ["describe localhost:9000 Arith", "A service with all its methods"],
    ["describe localhost:9000 Arith.root --json", "A method, for programs"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { operands: [address = "", name = ""], flags, shell } = invocation;
  const servers = await listServers(readTarget(address), invocation);
  const offering = servers.filter(({ services }) => {
    return services === undefined ||
      services.some((service) => name === service || name.startsWith(`${service}.`));
  });
  const service = await firstDescription(offering.length > 0 ? offering : servers, name, invocation);
  if (flags.has("json")) await shell.out(`${printValue(service)}\n`);
  else await shell.out(`${service.methods.map(methodText).join("\n")}\n`);
}

/** Returns the description from the first server that knows the name. */
async function firstDescription(
  servers: readonly { readonly address: string }[],
  name: string,
  invocation: Invocation,
): Promise<ServiceDescription> {
  const options = callOptions(invocation);
  let failure: unknown;
  for (const { address } of servers) {
    try {
      const description = await reflected(
        address,
        invocation,
        (reflection) => reflection.describe({ name }, options),
      );
      return readServices([description])[0]!;
    } catch (error) {
      invocation.signal.throwIfAborted();
      // Report not_found rather than the error of an unreachable server.
      if (!(failure instanceof RpcError && failure.code === "not_found")) failure = error;
    }
  }
  throw failure;
}

function methodText(method: MethodDescription): string {
  const head = [method.method, kindOf(method), idempotence(method)].filter((word) => word !== "").map(
    printable,
  );
  return [head.join("  "), ...schemaText("arguments", method.args), ...schemaText("result", method.result)]
    .join("\n");
}

function schemaText(what: string, schema: SchemaDescription | undefined): string[] {
  if (schema === undefined) return [];
  const head = `  ${what}: checked by ${printable(schema.vendor)}`;
  if (schema.jsonSchema === undefined) return [head];
  const { $schema: _, ...shown } = schema.jsonSchema as Record<string, unknown>;
  return [head, ...printValue(shown, true).split("\n").map((line) => `    ${line}`)];
}
