// Who a caller is: what `authenticate` and `requireToken` may say of that, checked in one place, and how it is shown.

import type { Identity } from "./handler.ts";

/** The longest name that is shown, in UTF-16 units. */
const LONGEST_SHOWN = 100;

/**
 * What an answer of `authenticate` or `requireToken` means: `false`, the caller is refused; `true`, it is accepted without
 * an identity; else who it is.
 *
 * @throws {TypeError} If it is neither a boolean nor an identity
 */
export function checkIdentity(answer: unknown): boolean | Identity {
  if (typeof answer === "boolean") return answer;
  if (typeof answer === "string" && answer !== "") return answer;
  const name: unknown = typeof answer === "object" && answer !== null
    ? (answer as { name: unknown }).name
    : undefined;
  if (typeof name === "string" && name !== "") return answer as Identity;
  throw new TypeError(
    "expected true, false, or an identity: text, or an object with a name, neither of them empty",
  );
}

/** The name of an identity, as far as it is shown; undefined without an identity. */
export function shownName(identity: Identity | undefined): string | undefined {
  const name = typeof identity === "object" ? identity.name : identity;
  return name !== undefined && name.length > LONGEST_SHOWN ? `${name.slice(0, LONGEST_SHOWN)}…` : name;
}

/** An address with the name of who is there, for log lines. */
export function shownPeer(address: string, identity: Identity | undefined): string {
  return identity === undefined ? address : `${address} (${shownName(identity)})`;
}
