// The text format of Prometheus, as a reader of the tests takes it, and servers and clients that have something to report.

import { assert, assertEquals } from "@std/assert";
import { connect, MultiServers, RpcError, Server } from "../../mod.ts";
import { freePort } from "./programs.ts";
import { Fleet } from "./service_link.ts";
import { fails, Patient } from "./session_pair.ts";
import { until } from "./waiting.ts";

/** Names of methods that would like to be something else. */
export const ODD = ['quote"d', "back\\slash", "new\nline", "Größe", '"} 1\nother_metric 2\n#'];

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly value: number;
  }[];
}

/** Reads the text format: each family has its HELP and TYPE before its samples, once. */
export function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current = "";
  assert(text.endsWith("\n"));
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") {
        assert(!families.has(name), `${name} comes twice`);
        families.set(name, { type: "", help: rest, samples: [] });
      } else families.set(name, { ...families.get(name)!, type: rest });
      current = name;
      continue;
    }
    const sample = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line);
    assert(sample !== null, `cannot be read: ${line}`);
    const [, name = "", labels = "", value] = sample;
    assert(
      name === current || families.get(current)!.type === "histogram" && name.startsWith(`${current}_`),
      line,
    );
    const pairs = labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\["\\n])*)"/g);
    const unescaped = (text: string) => text.replace(/\\(.)/g, (_, char) => char === "n" ? "\n" : char);
    families.get(current)!.samples.push({
      name,
      labels: Object.fromEntries(Array.from(pairs, ([, label, text]) => [label, unescaped(text!)])),
      value: Number(value),
    });
  }
  return families;
}

export async function metricsOf(server: Server): Promise<Map<string, Family>> {
  const response = await server.fetch(new Request("http://x/metrics"));
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return parse(await response.text());
}

/** The value of a sample that has all of these labels. */
export function valueOf(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const family = families.get(name.replace(/_(bucket|sum|count)$/, "")) ?? families.get(name);
  return family?.samples.find((sample) =>
    sample.name === name && Object.entries(labels).every(([label, text]) => sample.labels[label] === text)
  )?.value;
}

/** A server with some failures, and methods with odd names. */
export async function busy() {
  const waiting = new Patient();
  const server = new Server({ maxConnections: 2, authenticate: (token) => token !== "wrong" });
  server.register("S", {
    ok: () => 1,
    fail: (code: "aborted" | "internal") => {
      throw new RpcError(code, "No");
    },
    wait: waiting.wait,
  });
  server.register("Odd", Object.fromEntries(ODD.map((name) => [name, () => 1])));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address);
  for (let i = 0; i < 10; i++) await client.call("S.ok");
  for (let i = 0; i < 3; i++) await fails(client.call("S.fail", "aborted"), "aborted");
  await fails(client.call("S.fail", "internal"), "internal");
  for (const name of ODD) await client.call(`Odd.${name}`);
  const call = fails(client.call("S.wait"), "unavailable");
  await until(() => waiting.started === 1, "it to be at work");
  await fails(connect(address, { token: "wrong" }), "unauthenticated");
  return {
    server,
    async [Symbol.asyncDispose]() {
      await client.close();
      await call;
      await server.close();
    },
  };
}

/** A client whose servers are one that works, one that is ejected, and one that is not there. */
export async function clientOf(server: Server) {
  const fleet = await Fleet.open(2, (index) => ({
    ok: () => {
      if (index === 1) throw new RpcError("unavailable", "Not now");
    },
  }));
  const addresses = [...fleet.addresses, `tcp@127.0.0.1:${freePort()}`];
  const client = await connect(new MultiServers(addresses), {
    ejection: { consecutiveFailures: 1, baseTime: 60_000, maxShare: 0.4 },
  });
  for (let n = 0; n < 6; n++) await client.call("S.ok", null, { idempotent: true }).catch(() => {});
  const state = () => client.stats().endpoints.map(({ state }) => state).join();
  await until(() => state() === "ready,ready,failing", "all to stand as they do");
  const shown = server.show('the "shop"', client);
  return {
    client,
    async [Symbol.asyncDispose]() {
      shown[Symbol.dispose]();
      await client.close();
      await fleet[Symbol.asyncDispose]();
    },
  };
}
