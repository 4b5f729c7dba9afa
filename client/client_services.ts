// What a client with the option `services` needs to answer its servers' calls. A module of its own, loaded by clients that have
// this option only.

import type { ServerObserver } from "../call/handler.ts";
import { ServiceTable } from "../call/service.ts";
import { calleeWith } from "../session/callee.ts";
import type { CreateCallee } from "../session/callee_half.ts";

/**
 * Registers the services of a client.
 *
 * @param services Objects or instances by service name
 * @param observe Creates the observer of a method's calls
 * @throws {TypeError} If a name is invalid, or a service has no methods
 */
export function answerWith(
  services: Readonly<Record<string, object>>,
  log: ((message: string, error?: unknown) => void) | undefined,
  observe: ((method: string) => ServerObserver) | undefined,
): CreateCallee {
  const table = new ServiceTable(log, observe);
  for (const [name, methods] of Object.entries(services)) table.register(name, methods);
  return calleeWith((name, peer) => table.find(name, peer));
}
