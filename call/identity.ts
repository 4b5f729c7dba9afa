// Identities of callers: validates what `authenticate` and `requireToken` return, and formats names for display.

import type { Identity } from "./handler.ts";

/** Maximum length of a displayed name, in UTF-16 units. */
const MAX_SHOWN = 100;

/**
 * Validates the return value of `authenticate` or `requireToken`: `false` rejects the caller, `true` accepts it without an
 * identity, anything else is its identity.
 *
 * @throws {TypeError} If the value is neither a boolean nor an identity
 */
export function checkIdentity(answer: unknown): boolean | Identity {
  if (typeof answer === "boolean") return answer;
  if (typeof answer === "string" && answer !== "") return answer;
  const name: unknown = typeof answer === "object" && answer !== null
    ? (answer as { name: unknown }).name
    : undefined;
  if (typeof name === "string" && name !== "") return answer as Identity;
  throw new TypeError(
    "expected true, false, or an identity: text, or an object with a name; neither may be empty",
  );
}

/** The name of an identity, cut for display; undefined without an identity. */
export function shownName(identity: Identity | undefined): string | undefined {
  const name = typeof identity === "object" ? identity.name : identity;
  return name !== undefined && name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name;
}

/** An address with the name of the peer's identity, for log lines. */
export function shownPeer(address: string, identity: Identity | undefined): string {
  return identity === undefined ? address : `${address} (${shownName(identity)})`;
}
