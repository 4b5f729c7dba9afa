// The command `watch`: what changes in the list of a registry, as it happens.

import type { Endpoint } from "../discovery/endpoint.ts";
import type { RegistryDiscovery } from "../discovery/registry_discovery.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Command, Invocation } from "./command.ts";
import type { Shell } from "./shell.ts";
import { printValue } from "./print_value.ts";
import { discoverAt, interruptible, readTarget, SERVICE_FLAG } from "./target.ts";
import { printable } from "./format.ts";
import { UsageError } from "./usage_error.ts";

/** How often it is looked whether the registry is away, in ms. */
const LOOK_INTERVAL = 500;

/** Follows a registry. */
export const watch: Command = {
  name: "watch",
  summary: "Prints what changes in the list of a registry, as it happens",
  operands: "REGISTRY-URL",
  about:
    `First comes what is listed now, then each change: + a server that has come, - one that has gone, ~ one
that says something else of itself. It goes on when the registry is away for a while, which is said on
the standard error output. Ends by Ctrl-C.`,
  flags: [
    SERVICE_FLAG,
    {
      name: "registry-token",
      value: "TOKEN",
      help: "Shown to a registry that asks for one to read its list",
    },
    { name: "json", help: "Print JSON, one line for each change" },
  ],
  examples: [
    ["watch http://127.0.0.1:9999", "All servers"],
    ["watch http://127.0.0.1:9999 --service Echo --json", "Those that offer Echo, for programs"],
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
    throw new UsageError(`REGISTRY-URL needs one such as http://127.0.0.1:9999, not ${JSON.stringify(url)}`);
  }
  const discovery = discoverAt(target.url, flags);
  // One that cannot be asked at all is an error, not something to wait for.
  await interruptible(discovery.endpoints(), signal);
  const stop = new AbortController();
  const looking = tellOutages(discovery, shell, AbortSignal.any([signal, stop.signal]));
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
    await looking;
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

/** A server in one line. */
export function serverText({ address, services, weight, version, metadata = {} }: Endpoint): string {
  const about = [
    address,
    services === undefined ? "" : services.join(", "),
    weight === undefined || weight === 1 ? "" : `weight ${weight}`,
    version === undefined ? "" : `version ${version}`,
    ...Object.entries(metadata).map(([name, value]) => `${name}=${value}`),
  ];
  return about.filter((text) => text !== "").map(printable).join("  ");
}

/** Says when the registry is away, and when it is back. */
async function tellOutages(discovery: RegistryDiscovery, shell: Shell, signal: AbortSignal): Promise<void> {
  let away = false;
  while (!signal.aborted) {
    await sleep(SYSTEM_CLOCK, LOOK_INTERVAL, signal);
    const { failure } = discovery;
    if (away === (failure !== undefined)) continue;
    away = !away;
    await shell.err(away ? `rpc: ${printable(failure!.message)}\n` : "rpc: the registry is back\n");
  }
}
