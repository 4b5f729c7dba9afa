// The command `watch`: prints the changes of a registry's list as they happen.

import type { Endpoint } from "../discovery/endpoint.ts";
import type { RegistryDiscovery } from "../discovery/registry_discovery.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Command, Invocation } from "./command.ts";
import type { Shell } from "./shell.ts";
import { printValue } from "./print_value.ts";
import { discoverAt, interruptible, readTarget, SERVICE_FLAG } from "./target.ts";
import { printable } from "./format.ts";
import { UsageError } from "./usage_error.ts";

/** Interval of checks whether the registry is reachable, in ms. */
const CHECK_INTERVAL = 500;

/** Follows a registry. */
export const watch: Command = {
  name: "watch",
  summary: "Prints changes of a registry's list as they happen",
  operands: "REGISTRY-URL",
  about:
    `Prints the current list, then each change: + for a server that joined, - for one that left, ~ for one
whose description changed. If the registry is unreachable for a while, watch keeps running and says so
on the standard error output. Runs until Ctrl-C.`,
  flags: [
    SERVICE_FLAG,
    {
      name: "registry-token",
      value: "TOKEN",
      help: "Token for a registry that requires one for reading",
    },
    { name: "json", help: "Print JSON, one line for each change" },
  ],
  examples: [
    ["watch http://127.0.0.1:9999", "All servers"],
    ["watch http://127.0.0.1:9999 --service Echo --json", "Servers that offer Echo, for programs"],
  ],
  run,
};

/** One change of the list. */
interface Change {
  readonly change: "added" | "removed" | "changed";
  readonly server: Endpoint;
}

const SIGNS: Readonly<Record<Change["change"], string>> = { added: "+", removed: "-", changed: "~" };

async function run({ operands: [url = ""], flags, shell, signal }: Invocation): Promise<void> {
  const target = readTarget(url);
  if (target.kind !== "registry") {
    throw new UsageError(
      `REGISTRY-URL: expected a URL such as http://127.0.0.1:9999, got ${JSON.stringify(url)}`,
    );
  }
  const discovery = discoverAt(target.url, flags);
  // Fail if the registry does not answer at the start, rather than wait for it.
  await interruptible(discovery.endpoints(), signal);
  const stop = new AbortController();
  const reporting = reportOutages(discovery, shell, AbortSignal.any([signal, stop.signal]));
  try {
    let before: readonly Endpoint[] = [];
    for await (const now of discovery.watch({ signal: signal })) {
      const time = new Date();
      for (const change of changes(before, now)) {
        await shell.out(
          flags.has("json")
            ? `${printValue({ time: time.toISOString(), ...change })}\n`
            : `${time.toTimeString().slice(0, 8)}  ${SIGNS[change.change]} ${serverText(change.server)}\n`,
        );
      }
      before = now;
    }
  } finally {
    stop.abort();
    await reporting;
  }
}

function changes(before: readonly Endpoint[], now: readonly Endpoint[]): Change[] {
  const known = new Map(before.map((server) => [server.address, server]));
  const found: Change[] = [];
  for (const server of now) {
    const old = known.get(server.address);
    known.delete(server.address);
    if (old === undefined) found.push({ change: "added", server });
    else if (printValue(old) !== printValue(server)) found.push({ change: "changed", server });
  }
  return [...[...known.values()].map((server): Change => ({ change: "removed", server })), ...found];
}

/** Formats a server as one line. */
function serverText({ address, services, weight, version, metadata = {} }: Endpoint): string {
  const about = [
    address,
    services === undefined ? "" : services.join(", "),
    weight === undefined || weight === 1 ? "" : `weight ${weight}`,
    version === undefined ? "" : `version ${version}`,
    ...Object.entries(metadata).map(([name, value]) => `${name}=${value}`),
  ];
  return about.filter((text) => text !== "").map(printable).join("  ");
}

/** Reports when the registry becomes unreachable, and when it is back. */
async function reportOutages(discovery: RegistryDiscovery, shell: Shell, signal: AbortSignal): Promise<void> {
  let unreachable = false;
  while (!signal.aborted) {
    await sleep(SYSTEM_CLOCK, CHECK_INTERVAL, signal);
    const { failure } = discovery;
    if (unreachable === (failure !== undefined)) continue;
    unreachable = !unreachable;
    await shell.err(unreachable ? `rpc: ${printable(failure!.message)}\n` : "rpc: the registry is back\n");
  }
}
