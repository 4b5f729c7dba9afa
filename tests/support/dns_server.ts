// A DNS server of 127.0.0.1 over UDP and TCP, whose answers a test scripts (RFC 1035).

import { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";

/** The longest answer over UDP without EDNS. */
const MAX_UDP_BYTES = 512;
const TYPES: Readonly<Record<number, "A" | "AAAA" | "SRV">> = { 1: "A", 28: "AAAA", 33: "SRV" };

/** What is answered to one query: IPv4 addresses, an error of DNS, or nothing at all. */
export type DnsAnswer = readonly string[] | "SERVFAIL" | "NXDOMAIN" | "silence";

const CODES = { SERVFAIL: 2, NXDOMAIN: 3 } as const;

/** The server. Long answers are truncated over UDP, so that the resolver has to ask again over TCP. */
export class DnsServer implements AsyncDisposable {
  /** The answer to A queries; other types have no records. */
  answer: DnsAnswer = [];
  /** Queries that arrived. */
  readonly queries = { udp: 0, tcp: 0 };
  readonly port: number;
  readonly #udp: Socket;
  readonly #tcp: Server;

  private constructor(udp: Socket, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.port = udp.address().port;
    udp.on("message", (query, { address, port }) => {
      this.queries.udp++;
      const reply = this.#reply(query, MAX_UDP_BYTES);
      if (reply !== undefined) udp.send(reply, port, address);
    });
    tcp.on("connection", (socket) => {
      socket.on("error", () => {});
      let input: Buffer = Buffer.alloc(0);
      socket.on("data", (bytes: Buffer) => {
        input = Buffer.concat([input, bytes]);
        while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
          const end = 2 + input.readUInt16BE(0);
          this.queries.tcp++;
          const reply = this.#reply(input.subarray(2, end), 0xffff);
          input = input.subarray(end);
          if (reply === undefined) continue;
          const length = Buffer.alloc(2);
          length.writeUInt16BE(reply.length);
          socket.write(Buffer.concat([length, reply]));
        }
      });
    });
  }

  /** Listens on one free port over both. */
  static async start(): Promise<DnsServer> {
    for (;;) {
      const udp = createSocket("udp4");
      await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
      const tcp = createServer();
      const listens = await new Promise<boolean>((resolve) => {
        tcp.once("error", () => resolve(false));
        tcp.listen(udp.address().port, "127.0.0.1", () => resolve(true));
      });
      if (listens) return new DnsServer(udp, tcp);
      await new Promise<void>((resolve) => udp.close(() => resolve()));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  #reply(query: Buffer, most: number): Buffer | undefined {
    const { answer } = this;
    if (answer === "silence") return undefined;
    const nameEnd = query.indexOf(0, 12);
    const question = query.subarray(12, nameEnd + 5);
    const type = TYPES[query.readUInt16BE(nameEnd + 1)];
    const failed = typeof answer === "string" ? CODES[answer] : 0;
    const records = typeof answer === "string" || type !== "A" ? [] : answer.map(record);
    const length = 12 + question.length + records.length * 16;
    const truncated = length > most;
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    // A response, recursion desired and available.
    head.writeUInt16BE(0x8180 | (truncated ? 0x0200 : 0) | failed, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(truncated ? 0 : records.length, 6);
    return Buffer.concat([head, question, ...truncated ? [] : records]);
  }
}

/** An A record for the name of the question, with a TTL of 0. */
function record(address: string): Buffer {
  return Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]);
}
