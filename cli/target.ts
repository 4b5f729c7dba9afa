// Resolves the target of a command, a server address or a registry, and connects to it with the options given
// by flags. Used by every command that makes calls.

import { sendToken } from "../call/standard_interceptors.ts";
import { RpcError } from "../call/error.ts";
import type { CallOptions } from "../call/call_options.ts";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect_dns.ts";
import { CborCodec } from "../codec/cbor.ts";
import { JsonCodec } from "../codec/json.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { type Endpoint, parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { RegistryDiscovery } from "../discovery/registry_discovery.ts";
import type { Invocation } from "./command.ts";
import type { Flag, Flags } from "./flags.ts";
import type { Shell } from "./shell.ts";
import { UsageError } from "./usage_error.ts";

/**
 * Maximum number of values in one response. Higher than the codecs' default, because responses of any size
 * must be shown, such as the statistics of 5 000 methods.
 */
const MAX_ITEMS = 1_000_000;

/** Flags of every command that connects. */
export const CONNECT_FLAGS: readonly Flag[] = [
  { name: "timeout", value: "TIME", help: "Timeout of a call, such as 500, 2s or none (30s)" },
  { name: "token", value: "TOKEN", help: "Token for the server, sent in the handshake and with each call" },
  { name: "metadata", value: "NAME=VALUE", help: "Metadata of the call; may be given several times" },
  {
    name: "codec",
    value: "CODEC",
    help: "Encoding of values: cbor or json (cbor)",
    choices: ["cbor", "json"],
  },
  { name: "ca", value: "FILE", help: "CA certificates to trust, in addition to Deno's (PEM)" },
  { name: "cert", value: "FILE", help: "Client certificate for servers that require one (PEM)" },
  { name: "key", value: "FILE", help: "Private key of --cert (PEM)" },
  {
    name: "server-name",
    value: "NAME",
    help: "Name in the server's certificate, if not the host of the address",
  },
  { name: "insecure", help: "Send the token even without TLS" },
  { name: "registry-token", value: "TOKEN", help: "Token for a registry that requires one for reading" },
];

/** Flag of commands that use all servers of a registry. */
export const SERVICE_FLAG: Flag = {
  name: "service",
  value: "NAME",
  help: "With a registry: only servers that offer this service",
};

/** The target given by the first operand. */
export type Target =
  | { readonly kind: "server"; readonly address: string }
  | { readonly kind: "registry"; readonly url: string };

/**
 * Parses an address, with or without `tcp@`, or the URL of a registry.
 *
 * @throws {UsageError} If it is neither
 */
export function readTarget(text: string): Target {
  if (/^https?:\/\//.test(text)) return { kind: "registry", url: text };
  // Checked by connect.
  if (text.startsWith("dns@")) return { kind: "server", address: text };
  const address = /^[^@/]+:[0-9]+$/.test(text) ? `tcp@${text}` : text;
  try {
    parseAddress(address);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return { kind: "server", address };
}

/**
 * Parses the name of a method.
 *
 * @returns The method, and its service
 * @throws {UsageError} If it has no dot
 */
export function readMethod(method: string): { method: string; service: string } {
  const dot = method.lastIndexOf(".");
  if (dot > 0 && dot < method.length - 1) return { method, service: method.slice(0, dot) };
  throw new UsageError(
    `METHOD: expected the names of a service and a method, such as Arith.sum, got ${JSON.stringify(method)}`,
  );
}

/** Options of each call. */
export function callOptions({ flags, signal }: Invocation): CallOptions & { metadata: Map<string, string> } {
  return { timeout: readTimeout(flags), metadata: readMetadata(flags), signal };
}

/** Timeout of one call, in ms. */
function readTimeout(flags: Flags): number {
  return flags.text("timeout") === "none" ? Infinity : flags.duration("timeout", 30_000);
}

/** Metadata of each call. */
function readMetadata(flags: Flags): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const text of flags.all("metadata")) {
    const [, name, value] = /^([^=]+)=([^]*)$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError(`--metadata: expected NAME=VALUE, got ${JSON.stringify(text)}`);
    }
    metadata.set(name, value!);
  }
  return metadata;
}

/** Connects to one server. */
export async function openServer(address: string, { flags, shell, signal }: Invocation): Promise<Client> {
  return await open(address, await connectOptions(flags, shell), signal);
}

/**
 * Connects to servers that offer a service: the server at an address, or those listed by a registry.
 *
 * @throws {RpcError} If there is no such server
 */
export async function openService(target: Target, service: string, invocation: Invocation): Promise<Client> {
  if (target.kind === "server") return await openServer(target.address, invocation);
  const { flags, shell, signal } = invocation;
  const options = await connectOptions(flags, shell);
  const offering = discoverAt(target.url, flags, service);
  if ((await interruptible(offering.endpoints(), signal)).length > 0) {
    return await open(offering, options, signal);
  }
  // Servers registered manually often omit their services.
  const all = await interruptible(discoverAt(target.url, flags).endpoints(), signal);
  const silent = all.filter(({ services }) => services === undefined);
  if (silent.length > 0) return await open(new MultiServers(silent), options, signal);
  const services = [...new Set(all.flatMap(({ services }) => services ?? []))].sort();
  const known = services.length === 0 ? "" : `; the listed servers offer ${services.join(", ")}`;
  throw new RpcError(
    "unavailable",
    `The registry at ${target.url} lists no server that offers ${service}${known}`,
  );
}

/**
 * Lists the servers of a target: the one at an address, or those listed by a registry, filtered by
 * `--service`.
 *
 * @throws {RpcError} If the registry does not answer or lists no such server
 */
export async function listServers(
  target: Target,
  { flags, signal }: Invocation,
): Promise<readonly Endpoint[]> {
  const service = flags.text("service");
  if (target.kind === "server") {
    if (service !== undefined) throw new UsageError("--service needs the URL of a registry as ADDRESS");
    return [{ address: target.address }];
  }
  const servers = await interruptible(discoverAt(target.url, flags, service).endpoints(), signal);
  if (servers.length > 0) return servers;
  const which = service === undefined ? "no server" : `no server that offers ${service}`;
  throw new RpcError("unavailable", `The registry at ${target.url} lists ${which}`);
}

/** Discovery without hold time: a server that leaves the registry's list is dropped at once. */
export function discoverAt(url: string, flags: Flags, service = flags.text("service")): RegistryDiscovery {
  try {
    return new RegistryDiscovery(url, { service, token: flags.text("registry-token"), holdTime: 0 });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Waits for a promise, until the user interrupts. */
export function interruptible<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

async function open(to: string | Discovery, options: ConnectOptions, signal: AbortSignal): Promise<Client> {
  const connecting = connect(to, options);
  try {
    return await interruptible(connecting, signal);
  } catch (error) {
    // Close a client that connects after the interruption.
    connecting.then((client) => client.close(), () => {});
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

async function connectOptions(flags: Flags, shell: Shell): Promise<ConnectOptions> {
  const token = flags.text("token") ?? (shell.env("RPC_TOKEN") || undefined);
  const [ca, cert, key] = await Promise.all(["ca", "cert", "key"].map((name) => readPem(name, flags, shell)));
  const serverName = flags.text("server-name");
  const tls = [ca, cert, key, serverName].some((option) => option !== undefined)
    ? { ...ca && { caCerts: [ca] }, ...serverName && { serverName }, ...cert && { cert }, ...key && { key } }
    : undefined;
  return {
    codecType: readCodec(flags.text("codec") ?? "cbor"),
    codecs: [new CborCodec({ maxItems: MAX_ITEMS }), new JsonCodec({ maxItems: MAX_ITEMS })],
    connectTimeout: Math.ceil(Math.min(readTimeout(flags), 10_000)),
    tls,
    token,
    interceptors: token === undefined ? [] : [sendToken(() => token)],
    ...flags.has("insecure") && { secure: false },
  };
}

function readCodec(codec: string): string {
  if (codec === "cbor" || codec === "json") return `application/${codec}`;
  throw new UsageError(`--codec: expected cbor or json, got ${JSON.stringify(codec)}`);
}

async function readPem(name: string, flags: Flags, shell: Shell): Promise<string | undefined> {
  const path = flags.text(name);
  if (path === undefined) return undefined;
  try {
    return await shell.readTextFile(path);
  } catch (error) {
    throw new UsageError(`--${name}: cannot read ${path}: ${(error as Error).message}`);
  }
}
