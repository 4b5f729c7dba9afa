// All conformance cases, in both roles: this library, and the implementation in Python, which was written from
// docs/PROTOCOL.md alone. Both are to pass everything that they say they have.

import { assertEquals } from "@std/assert";
import { casesOf } from "../../conformance/cases.ts";
import { OwnClient } from "../../conformance/client.ts";
import { checkClient, checkServer } from "../../conformance/run.ts";
import { conformanceServer } from "../../conformance/service.ts";
import { assertPassed } from "../support/conformance_outcomes.ts";
import { portOf } from "../support/wire_harness.ts";

Deno.test("conformance: this library's server passes every case", async () => {
  await using server = conformanceServer();
  const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
  assertPassed(await checkServer("127.0.0.1", port), "server", []);
});

Deno.test("conformance: this library's client passes every case", async () => {
  await using client = new OwnClient();
  assertPassed(await checkClient(client), "client", []);
});

Deno.test("conformance: every case has an id of its own and names a heading of the document", async () => {
  const document = await Deno.readTextFile(new URL("../../docs/PROTOCOL.md", import.meta.url));
  const headings = new Set([...document.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading));
  for (const role of ["server", "client"] as const) {
    const cases = casesOf(role);
    assertEquals(new Set(cases.map(({ id }) => id)).size, cases.length);
    assertEquals(
      cases.filter(({ section }) => !headings.has(section)).map(({ id, section }) => [id, section]),
      [],
    );
  }
});
