// A server and a client for tests of telemetry, made while a recorder is registered.

import { type Client, connect, type ConnectOptions, Server, type ServerOptions } from "../../mod.ts";
import { Recorder, type RecorderOptions } from "./telemetry_recorder.ts";

export interface Link extends AsyncDisposable {
  readonly recorder: Recorder;
  readonly server: Server;
  readonly client: Client;
  readonly address: string;
  readonly port: number;
}

/** A recorder, a server with one service `S`, and a client. */
export async function link(
  methods: object,
  options: { server?: ServerOptions; client?: ConnectOptions; recorder?: RecorderOptions } = {},
): Promise<Link> {
  const stack = new AsyncDisposableStack();
  const recorder = stack.use(new Recorder(options.recorder));
  const server = stack.use(new Server(options.server).register("S", methods));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = stack.use(await connect(address, options.client));
  const port = Number(address.split(":").at(-1));
  return { recorder, server, client, address, port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
