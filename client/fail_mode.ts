// The option `failMode`: checks it, and decides what it means for one call.

import type { FailMode } from "../call/call_options.ts";
import { nearest } from "../call/nearest.ts";
import { checkDuration } from "../discovery/clock.ts";
import { whole } from "../session/limits.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";

/** The most servers that one call is sent to at once. */
const MAX_FORK = 64;

/**
 * Checks a fail mode.
 *
 * @throws {TypeError} If it is invalid
 * @throws {RangeError} If its number is out of range
 */
export function checkFailMode(mode: FailMode): FailMode {
  if (mode === "failover" || mode === "failfast" || mode === "retry") return mode;
  if (typeof mode === "object" && mode !== null) {
    if ("backup" in mode && !("fork" in mode)) {
      return { backup: checkDuration("failMode.backup", mode.backup, 0) };
    }
    if ("fork" in mode && !("backup" in mode)) {
      return { fork: whole("failMode.fork", mode.fork, 2, MAX_FORK) };
    }
  }
  const near = typeof mode === "string" ? nearest(mode, ["failover", "failfast", "retry"]) : undefined;
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  throw new TypeError(
    `Cannot use failMode ${
      textOf(mode)
    }: expected "failover", "failfast", "retry", { backup: ms } or { fork: servers }${hint}`,
  );
}

/**
 * Returns the fail mode of one call.
 *
 * @param usual The client's own, checked
 * @throws {TypeError} If the call cannot use the mode it asks for
 */
export function failModeOf(call: OutgoingCall, usual: FailMode): FailMode {
  const asked = call.failMode;
  if (asked === undefined) {
    return typeof usual === "object" && whyOnce(call) !== undefined ? "failover" : usual;
  }
  const mode = checkFailMode(asked);
  const reason = typeof mode === "object" ? whyOnce(call) : undefined;
  if (reason === undefined) return mode;
  throw new TypeError(`Cannot use failMode ${textOf(mode)} for ${call.method}: ${reason}`);
}

/** Why a call cannot be sent to several servers. */
function whyOnce({ idempotent, streams }: OutgoingCall): string | undefined {
  if (!idempotent) {
    return "it may execute the call more than once; mark the call idempotent: true if that is safe";
  }
  if (streams) return "it is a stream, which cannot be sent twice";
  return undefined;
}

function textOf(mode: unknown): string {
  try {
    return JSON.stringify(mode) ?? String(mode);
  } catch {
    return `of type ${typeof mode}`;
  }
}
