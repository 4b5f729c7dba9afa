// The command `list`: what can be called.

import { RESERVED, type ServiceDescription } from "../call/reflection.ts";
import { RpcError } from "../call/error.ts";
import type { Command, Invocation } from "./command.ts";
import { Advised } from "./advice.ts";
import { kindOf, repeats } from "./kinds.ts";
import { readServices, reflected } from "./reflected.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, listServers, readTarget, SERVICE_FLAG } from "./target.ts";
import { columns, printable } from "./format.ts";

/** Lists services and methods. */
export const list: Command = {
  name: "list",
  summary: "Lists services and their methods",
  operands: "ADDRESS [SERVICE]",
  about: `Of each method it says what is a stream (unary, server stream, client stream, conversation), and
whether it is idempotent, as far as the service has a contract; "unknown" where it has none. Of a
registry, every server that it lists is asked. Services of the library's own, which begin with rpc.,
are shown only when they are named.`,
  flags: [...CONNECT_FLAGS, SERVICE_FLAG, { name: "json", help: "Print JSON, one line for each server" }],
  examples: [
    ["list localhost:9000", "Everything that can be called"],
    ["list localhost:9000 Arith", "One service"],
    ["list http://127.0.0.1:9999 --json", "All servers of a registry, for programs"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = "", wanted], flags, shell, signal } = invocation;
  const servers = await listServers(readTarget(address), invocation);
  const alone = servers.length === 1;
  let failed = false;
  for (const { address } of servers) {
    try {
      const services = await ask(address, wanted, alone, invocation);
      const lines = [...alone ? [] : [`${printable(address)}:`], ...shown(services)];
      await shell.out(flags.has("json") ? `${printValue({ address, services })}\n` : `${lines.join("\n")}\n`);
    } catch (error) {
      const failure = error instanceof Advised ? error.error : error;
      if (alone || !(failure instanceof RpcError) || signal.aborted) throw error;
      // What the others offer can be said all the same.
      failed = true;
      const { code, message } = failure;
      const line = `${printable(address)}:\n${code}: ${printable(message)}`;
      await shell.out(`${flags.has("json") ? printValue({ address, error: { code, message } }) : line}\n`);
    }
  }
  return failed ? 1 : 0;
}

/** The services of a server that are to be shown. */
async function ask(
  address: string,
  wanted: string | undefined,
  alone: boolean,
  invocation: Invocation,
): Promise<ServiceDescription[]> {
  const options = callOptions(invocation);
  const all = readServices(
    await reflected(address, invocation, (reflection) => reflection.list(undefined, options)),
  );
  if (wanted === undefined) return all.filter(({ name }) => !name.startsWith(RESERVED));
  const services = all.filter(({ name }) => name === wanted);
  // Of several servers, not each needs to offer it.
  if (services.length === 0 && alone) throw unknown(wanted, all);
  return services;
}

function shown(services: readonly ServiceDescription[]): string[] {
  if (services.length === 0) return ["No services"];
  return services.flatMap(({ name, methods }) => {
    const rows = methods.map((method) => [method.method, kindOf(method), repeats(method)]);
    return [printable(name), ...columns(rows).map((line) => `  ${line}`)];
  });
}

function unknown(wanted: string, all: readonly ServiceDescription[]): RpcError {
  const names = all.map(({ name }) => name).join(", ");
  return new RpcError("not_found", `There is no service ${JSON.stringify(wanted)}; there is ${names}`);
}
