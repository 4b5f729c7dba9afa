// Mutual TLS with clients in Python and Go that resume their sessions: a certificate that a session brings along is accepted
// only where a full handshake has verified it, and while it is valid.

import { assertEquals, assertMatch } from "@std/assert";
import { Server } from "../../server/mod.ts";
import { pem } from "../support/certs.ts";
import { missing } from "../support/programs.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const CERTS = new URL("../certs/", import.meta.url).pathname;
const CLIENT_CA = pem("client_ca.pem");
const OTHER_CA = pem("other_ca.pem");

/** A server that asks clients for certificates of some authorities. */
async function open(clientCaCerts: string[]) {
  const log: string[] = [];
  const server = new Server({
    tls: { cert: pem("server.pem"), key: pem("server.key"), clientCaCerts },
    log: (message) => log.push(message),
  });
  const listening = await server.listen("tls@127.0.0.1:0");
  const port = portOf(listening.address);
  return { server, listening, port, log, [Symbol.asyncDispose]: () => server.close() };
}

/** A client in another language, which offers the session of its last connection. */
class Client implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #ports: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #reports: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(command: string, args: string[]) {
    this.#process = new Deno.Command(command, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#ports = this.#process.stdin.getWriter();
    this.#reports = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Dials a server: whether it resumed the session, and whether it was accepted. */
  async dial({ port }: { port: number }): Promise<"full" | "resumed" | "refused"> {
    await this.#ports.write(new TextEncoder().encode(`${port}\n`));
    while (!this.#rest.includes("\n")) {
      const { value } = await this.#reports.read();
      if (value === undefined) throw new Error("The client has ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n") + 1;
    const { resumed, answer } = JSON.parse(this.#rest.slice(0, end));
    this.#rest = this.#rest.slice(end);
    if (answer === "") return "refused";
    assertEquals(JSON.parse(answer).version, 1);
    return resumed ? "resumed" : "full";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ports.close();
    await this.#reports.cancel();
    await this.#process.status;
  }
}

for (const [command, before] of [["python3", ["client.py"]], ["go", ["run", "client.go"]]] as const) {
  const skipped = await missing(command);
  const args = [
    ...before.slice(0, -1),
    new URL(`../support/resuming/${before.at(-1)}`, import.meta.url).pathname,
    CERTS,
  ];

  for (const version of ["TLSv1_2", "TLSv1_3"]) {
    const test = (name: string, run: (client: Client) => Promise<void>) =>
      Deno.test({
        name: `mutual tls, resumed by ${command} over ${version}: ${name}${skipped}`,
        ignore: skipped !== "",
        async fn() {
          await using client = new Client(command, [...args, version]);
          await run(client);
        },
      });

    test("the certificate that was verified is accepted again", async (client) => {
      await using at = await open([CLIENT_CA]);
      const seen = [await client.dial(at), await client.dial(at), await client.dial(at)];
      assertEquals(seen, ["full", "resumed", "resumed"]);
      assertEquals(at.server.stats().refused, 0);
    });

    test("a listener with other authorities refuses it, as often as it comes", async (client) => {
      await using first = await open([CLIENT_CA]);
      await using at = await open([OTHER_CA]);
      assertEquals(await client.dial(first), "full");
      for (let i = 1; i <= 4; i++) {
        assertEquals(await client.dial(at), "refused");
        await until(() => at.server.stats().refusals.tls === i, "it to be counted");
      }
      assertEquals(at.server.stats().accepted, 0);
      assertMatch(
        at.log[0]!,
        /^tls@127\.0\.0\.1:\d+ .* the resumed session was not verified here, or has expired$/,
      );
      assertEquals(at.log.length, 4);
    });

    // The next handshake allows only the other version of TLS, which fails where the client cannot use it.
    const again = version === "TLSv1_3" ? ["refused", "full", "full"] : ["refused", "refused", "full"];

    test("another listener with the same authorities verifies it in full, after a refusal", async (client) => {
      await using first = await open([CLIENT_CA]);
      await using at = await open([CLIENT_CA]);
      assertEquals(await client.dial(first), "full");
      assertEquals(await dialOften(client, at, 5), [...again, "resumed", "resumed"]);
    });

    test("after a change of authorities it is verified in full, or refused", async (client) => {
      await using at = await open([CLIENT_CA]);
      assertEquals(await dialOften(client, at, 2), ["full", "resumed"]);
      at.listening.renew({ clientCaCerts: [CLIENT_CA, OTHER_CA] });
      assertEquals(await dialOften(client, at, 5), [...again, "resumed", "resumed"]);
      at.listening.renew({ clientCaCerts: [OTHER_CA] });
      assertEquals(await dialOften(client, at, 4), ["refused", "refused", "refused", "refused"]);
    });

    test("a new certificate of the server changes nothing", async (client) => {
      await using at = await open([CLIENT_CA]);
      assertEquals(await client.dial(at), "full");
      at.listening.renew({ cert: pem("server.pem"), key: pem("server.key"), clientCaCerts: [CLIENT_CA] });
      assertEquals(await client.dial(at), "resumed");
    });

    for (const [what, date] of [["has expired since", "2121-01-01"], ["is not valid yet", "2019-01-01"]]) {
      test(`a certificate that ${what} is refused`, async (client) => {
        await using at = await open([CLIENT_CA]);
        assertEquals(await client.dial(at), "full");
        const { now } = Date;
        // The certificate is valid from 2020 to 2120.
        Date.now = () => Date.parse(date!);
        try {
          assertEquals(await client.dial(at), "refused");
        } finally {
          Date.now = now;
        }
      });
    }
  }
}

async function dialOften(client: Client, at: { port: number }, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) seen.push(await client.dial(at));
  return seen;
}
