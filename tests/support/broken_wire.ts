// Implementations that break the protocol in one way each, made of one that keeps it: a proxy in front of it changes what
// passes. For tests of the conformance runner, which has to notice.

import type { Json } from "../../conformance/cbor.ts";
import type { ClientControl } from "../../conformance/run.ts";
import { bytes, frame, framed, type Item, uncbor } from "./raw_peer.ts";

/** A frame that passes, cut up. */
export interface Passing {
  readonly header: Item[];
  readonly body: Uint8Array;
}

/** What is done to what passes; left out = nothing. */
export interface Fault {
  /** Its line on the way to the implementation, and on the way from it. */
  lineTo?: (line: string) => string;
  lineFrom?: (line: string) => string;
  /** Frames on the way to the implementation, and on the way from it: what passes in the place of one. */
  to?: (passing: Passing) => Passing[];
  from?: (passing: Passing) => Passing[];
  /** What cannot be read as a frame never reaches the implementation. */
  shelters?: boolean;
  /** The end of the stream is not passed on: to the implementation as a reset, from it not at all. */
  endTo?: "reset";
  endFrom?: "never";
}

/** A proxy before the listener on `port`, which replaces the side that is `under` test. */
export class BrokenWire implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #fault: Fault;
  readonly #under: "server" | "client";
  readonly #running: Promise<void>;
  readonly #sockets = new Set<Deno.Conn>();

  constructor(port: number, under: "server" | "client", fault: Fault) {
    this.#fault = fault;
    this.#under = under;
    this.#running = this.#run(port);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const socket of this.#sockets) this.#close(socket);
    await this.#running;
  }

  async #run(port: number): Promise<void> {
    const passing: Promise<void>[] = [];
    try {
      for (;;) {
        const near = await this.#listener.accept();
        const far = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
        if (far === undefined) {
          near.close();
          continue;
        }
        for (const socket of [near, far]) this.#sockets.add(socket);
        const { lineTo, lineFrom, to, from } = this.#fault;
        const [inward, outward] = this.#under === "server" ? [near, far] : [far, near];
        passing.push(
          this.#pass(inward, outward, lineTo, to, true),
          this.#pass(outward, inward, lineFrom, from, false),
        );
      }
    } catch {
      // The end of the test.
    }
    await Promise.all(passing);
  }

  async #pass(
    source: Deno.Conn,
    target: Deno.Conn,
    line: Fault["lineTo"],
    change: Fault["to"],
    toward: boolean,
  ): Promise<void> {
    const cutter = new Cutter(line, change, toward && this.#fault.shelters === true);
    try {
      const chunk = new Uint8Array(65_536);
      for (let count; (count = await source.read(chunk)) !== null;) {
        const out = cutter.take(chunk.slice(0, count));
        for (let at = 0; at < out.length;) at += await target.write(out.subarray(at));
      }
      if (toward && this.#fault.endTo === "reset") throw new Error("The end is made a reset");
      if (toward || this.#fault.endFrom !== "never") await target.closeWrite();
    } catch {
      for (const socket of [source, target]) this.#close(socket);
    }
  }

  #close(socket: Deno.Conn): void {
    if (this.#sockets.delete(socket)) socket.close();
  }
}

/** Cuts one direction into its line and frames, and gives what is to pass. */
class Cutter {
  #held: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #line: Fault["lineTo"];
  readonly #change: Fault["to"];
  readonly #shelters: boolean;
  #begun = false;

  constructor(line: Fault["lineTo"], change: Fault["to"], shelters: boolean) {
    this.#line = line;
    this.#change = change;
    this.#shelters = shelters;
  }

  take(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#held = bytes(this.#held, chunk);
    const out: Uint8Array[] = [];
    if (!this.#begun) {
      const end = this.#held.indexOf(10) + 1;
      if (end === 0) return new Uint8Array(0);
      const line = new TextDecoder().decode(this.#held.subarray(0, end - 1));
      out.push(bytes(this.#line?.(line) ?? line, "\n"));
      this.#held = this.#held.slice(end);
      this.#begun = true;
    }
    for (let next; (next = this.#next()) !== undefined;) out.push(next);
    return bytes(...out);
  }

  #next(): Uint8Array | undefined {
    const held = this.#held;
    if (held.length === 0) return undefined;
    if (held[0] !== 0x5a) return this.#unreadable(held.length);
    if (held.length < 5) return undefined;
    const length = new DataView(held.buffer, held.byteOffset).getUint32(1);
    if (length === 0 || length > 4_194_304) return this.#unreadable(held.length);
    if (held.length < 5 + length) return undefined;
    const content = held.subarray(5, 5 + length);
    try {
      const [header, end] = uncbor(content);
      if (!Array.isArray(header)) return this.#unreadable(5 + length);
      const passing = { header, body: content.subarray(end) };
      this.#held = held.slice(5 + length);
      const changed = this.#change?.(passing) ?? [passing];
      return changed[0] === passing && changed.length === 1
        ? framed(content)
        : bytes(...changed.map(({ header, body }) => frame(header, body)));
    } catch {
      return this.#unreadable(5 + length);
    }
  }

  #unreadable(count: number): Uint8Array {
    const part = this.#held.subarray(0, count);
    this.#held = this.#held.slice(count);
    return this.#shelters ? new Uint8Array(0) : part;
  }
}

/** A client with a broken wire, one for each connection that it makes. */
export class BrokenClient implements ClientControl {
  readonly features: ReadonlySet<string>;
  readonly #client: ClientControl;
  readonly #fault: Fault;
  #wire: BrokenWire | undefined;

  constructor(client: ClientControl, fault: Fault) {
    this.#client = client;
    this.#fault = fault;
    this.features = client.features;
  }

  async execute(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>> {
    if (command.do !== "connect") return await this.#client.execute(command);
    await this.#wire?.[Symbol.asyncDispose]();
    this.#wire = new BrokenWire(Number(command.port), "client", this.#fault);
    return await this.#client.execute({ ...command, port: this.#wire.port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.#wire?.[Symbol.asyncDispose]();
  }
}
