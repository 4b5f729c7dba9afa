// The built-in service rpc.Health, as both sides know it: whether a server, or one of its services, accepts calls. Servers
// answer it by server/health.ts; the command line calls it.

import { type Contract, type ContractMethod, defineService, method } from "./contract.ts";

/** Whether calls are accepted. */
export type HealthStatus = "serving" | "not_serving";

/** What `rpc.Health` is asked about. */
export interface HealthRequest {
  /** The name of a service; left out, the whole server. */
  readonly service?: string;
}

/** What `rpc.Health` answers. */
export interface HealthReport {
  /** Whether calls are accepted. */
  readonly status: HealthStatus;
}

/**
 * The contract of `rpc.Health`, which every server answers.
 *
 * - `check({ service })`: whether the server, or that service, accepts calls; `not_found` if there is no such service
 * - `watch({ service })`: the same at once and when it changes; ends when the server shuts down
 *
 * @example
 * ```ts
 * import { connect } from "@troodon/rpc";
 * import { Health, Server } from "@troodon/rpc/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = new Server().register("Echo", { echo: (value: unknown) => value });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address);
 * assertEquals(await client.service(Health).check({ service: "Echo" }), { status: "serving" });
 * ```
 */
export const Health: Contract<{
  readonly check: ContractMethod<
    "call",
    HealthRequest | void,
    HealthReport,
    HealthRequest | void,
    HealthReport
  >;
  readonly watch: ContractMethod<
    "serverStream",
    HealthRequest | void,
    HealthReport,
    HealthRequest | void,
    HealthReport
  >;
}> = defineService("rpc.Health", {
  check: method<HealthRequest | void, HealthReport>({ readOnly: true }),
  watch: method.serverStream<HealthRequest | void, HealthReport>({ readOnly: true }),
});
