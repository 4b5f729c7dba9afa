// The server that tests of the command line speak to.

import { type CallContext, defineService, method, Server, type ServerOptions } from "../../mod.ts";
import { z } from "npm:zod@4.6.7";
import { Patient } from "./session_pair.ts";

/** Its service with a contract. */
export const Numbers = defineService("Numbers", {
  root: method({ args: z.number().nonnegative(), result: z.number() }),
  now: method<void, Date>({ idempotent: true }),
  upTo: method.serverStream<number, number>(),
  sum: method.clientStream<number, number>(),
  squares: method.conversation<number, number>(),
});

/** A server with streams, a handler that waits for its end, and one without a contract. */
export class CliServer implements AsyncDisposable {
  readonly server: Server;
  readonly address: string;
  /** `Slow.wait`, and what it was aborted with. */
  readonly patient: Patient;

  private constructor(server: Server, address: string, patient: Patient) {
    this.server = server;
    this.address = address;
    this.patient = patient;
  }

  static async open(options: ServerOptions = {}): Promise<CliServer> {
    const patient = new Patient();
    const server = new Server(options);
    server.register(Numbers, {
      root: Math.sqrt,
      now: () => new Date(0),
      *upTo(to) {
        for (let i = 1; i <= to; i++) yield i;
      },
      async sum(numbers) {
        let sum = 0;
        for await (const number of numbers) sum += number;
        return sum;
      },
      async *squares(numbers) {
        for await (const number of numbers) yield number ** 2;
      },
    });
    server.register("Echo", {
      echo: (value: unknown) => value,
      metadata: (_: undefined, { metadata }: CallContext) => Object.fromEntries(metadata),
    });
    server.register("Slow", {
      wait: patient.wait,
      async *count(_: undefined, context: CallContext) {
        yield 1;
        await patient.wait(null, context);
      },
    });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return new CliServer(server, address, patient);
  }

  /** Its host and port, as people write them. */
  get hostAndPort(): string {
    return this.address.slice("tcp@".length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
  }
}

/** An input whose lines come when a test says so. */
export class Typed {
  readonly stdin: ReadableStream<Uint8Array>;
  /** Whether it is no longer read. */
  left = false;
  #controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor() {
    this.stdin = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.left = true;
      },
    });
  }

  type(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  close(): void {
    this.#controller.close();
  }
}
