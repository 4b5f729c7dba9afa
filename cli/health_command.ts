// The command `health`: whether servers, or one of their services, accept calls, by their service rpc.Health.

import { RpcError } from "../call/error.ts";
import { Health } from "../call/health.ts";
import type { Command, Invocation } from "./command.ts";
import { printable } from "./format.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, listServers, openServer, readTarget, SERVICE_FLAG } from "./target.ts";

/** Checks the health of servers. */
export const health: Command = {
  name: "health",
  summary: "Checks whether a server accepts calls",
  operands: "ADDRESS [SERVICE]",
  about:
    `Calls rpc.Health.check for the whole server, or for one of its services. With the URL of a registry, every
server that it lists is checked. The exit code is 1 if a server is not serving, or does not answer.`,
  flags: [...CONNECT_FLAGS, SERVICE_FLAG, { name: "json", help: "Print JSON, one line for each server" }],
  examples: [
    ["health localhost:9000", "Whether the server accepts calls"],
    ["health localhost:9000 Arith --timeout 2s", "Whether its service Arith does"],
    ["health http://127.0.0.1:9999", "All servers of a registry"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = "", service], flags, shell, signal } = invocation;
  let code = 0;
  for (const { address: server } of await listServers(readTarget(address), invocation)) {
    const report = await check(server, service, invocation);
    if (signal.aborted) break;
    if (report.status !== "serving") code = 1;
    const line = flags.has("json") ? printValue({ address: server, ...report }) : textOf(server, report);
    await shell.out(`${line}\n`);
  }
  return code;
}

interface Report {
  readonly status?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

async function check(address: string, service: string | undefined, invocation: Invocation): Promise<Report> {
  try {
    await using client = await openServer(address, invocation);
    const { status } = await client.service(Health).check({ service }, callOptions(invocation));
    return { status: String(status) };
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const { code, message } = error;
    return { error: { code, message } };
  }
}

function textOf(address: string, { status, error }: Report): string {
  return printable(`${address}  ${error === undefined ? status : `${error.code}: ${error.message}`}`);
}
