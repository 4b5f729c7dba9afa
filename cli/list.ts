// The command `list`: services and methods of servers.

import { RESERVED, type ServiceDescription } from "../call/reflection.ts";
import { RpcError } from "../call/error.ts";
import type { Command, Invocation } from "./command.ts";
import { Advised } from "./advice.ts";
import { idempotence, kindOf } from "./kinds.ts";
import { readServices, reflected } from "./reflected.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, listServers, readTarget, SERVICE_FLAG } from "./target.ts";
import { columns, printable } from "./format.ts";

/** Lists services and methods. */
export const list: Command = {
  name: "list",
  summary: "Lists services and their methods",
  operands: "ADDRESS [SERVICE]",
  about: `Shows for each method which side streams (unary, server stream, client stream, conversation), and
whether it is idempotent, if the service has a contract; otherwise "unknown". With a registry, every
server on its list is shown. Internal services, whose names begin with rpc., are shown only if named.`,
  flags: [...CONNECT_FLAGS, SERVICE_FLAG, { name: "json", help: "Print JSON, one line for each server" }],
  examples: [
    ["list localhost:9000", "All services and methods"],
    ["list localhost:9000 Arith", "One service"],
    ["list http://127.0.0.1:9999 --json", "All servers of a registry, for programs"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = "", requested], flags, shell, signal } = invocation;
  const servers = await listServers(readTarget(address), invocation);
  const single = servers.length === 1;
  let failed = false;
  for (const { address } of servers) {
    try {
      const services = await ask(address, requested, single, invocation);
      const lines = [...single ? [] : [`${printable(address)}:`], ...shown(services)];
      await shell.out(flags.has("json") ? `${printValue({ address, services })}\n` : `${lines.join("\n")}\n`);
    } catch (error) {
      const failure = error instanceof Advised ? error.error : error;
      if (single || !(failure instanceof RpcError) || signal.aborted) throw error;
      // Continue with the other servers.
      failed = true;
      const { code, message } = failure;
      const line = `${printable(address)}:\n${code}: ${printable(message)}`;
      await shell.out(`${flags.has("json") ? printValue({ address, error: { code, message } }) : line}\n`);
    }
  }
  return failed ? 1 : 0;
}

/** The services of a server to show. */
async function ask(
  address: string,
  requested: string | undefined,
  single: boolean,
  invocation: Invocation,
): Promise<ServiceDescription[]> {
  const options = callOptions(invocation);
  const all = readServices(
    await reflected(address, invocation, (reflection) => reflection.list(undefined, options)),
  );
  if (requested === undefined) return all.filter(({ name }) => !name.startsWith(RESERVED));
  const services = all.filter(({ name }) => name === requested);
  // With several servers, not every one needs to offer it.
  if (services.length === 0 && single) throw unknown(requested, all);
  return services;
}

function shown(services: readonly ServiceDescription[]): string[] {
  if (services.length === 0) return ["No services"];
  return services.flatMap(({ name, methods }) => {
    const rows = methods.map((method) => [method.method, kindOf(method), idempotence(method)]);
    return [printable(name), ...columns(rows).map((line) => `  ${line}`)];
  });
}

function unknown(requested: string, all: readonly ServiceDescription[]): RpcError {
  const names = all.map(({ name }) => name).join(", ");
  return new RpcError("not_found", `The server has no service ${JSON.stringify(requested)}; it has ${names}`);
}
