// Many large echoes at once, in whatever runtime: more than either side would buffer of a peer that does not wait.

import { connect } from "../../client/mod.ts";

const CALLS = 16;
const BYTES = 2_000_000;

/** What came of them. */
export interface Bulk {
  readonly answered: number;
  readonly errors: string[];
}

export async function bulk(address: string): Promise<Bulk> {
  const errors: string[] = [];
  const client = await connect(address, { log: (line, error) => errors.push(`${line} ${error ?? ""}`) });
  const sent = Array.from({ length: CALLS }, (_, i) => new Uint8Array(BYTES).fill(i + 1));
  const outcomes = await Promise.allSettled(sent.map((bytes) => client.call<Uint8Array>("Echo.echo", bytes)));
  await client.close();
  let answered = 0;
  outcomes.forEach((outcome, i) => {
    if (outcome.status === "rejected") errors.push(String(outcome.reason));
    else if (outcome.value.length === BYTES && outcome.value.every((byte) => byte === i + 1)) answered++;
  });
  return { answered, errors: [...new Set(errors)] };
}

/** What is expected to come of them. */
export const ALL_ANSWERED: Bulk = { answered: CALLS, errors: [] };
