// A long line for bench:distance: two network namespaces, and a delay line between them (delay_line.py). They
// belong to a user namespace, so that neither root nor any change of the system is needed; all of it ends with
// the processes that hold it.

import { Process } from "./process.ts";

/** A line between a client (near) and a server (far). */
export interface LineOptions {
  /** Round trip, in ms. */
  readonly rtt: number;
  /** Bits per second in each direction. */
  readonly rate: number;
}

/** The address of the far side. */
export const FAR_HOST = "10.77.0.2";
const NEAR_HOST = "10.77.0.1";
/** Duration of a full buffer of the line, in s; what does not fit is dropped. */
const BUFFER_TIME = 0.1;
const DELAY_LINE = new URL("delay_line.py", import.meta.url).pathname;
/** Prints {}, and holds its namespaces until stdin ends. */
const HOLD = ["sh", "-c", "echo {}; exec cat"];

/** Enters the namespaces of a process. */
function inside({ pid }: Process): string[] {
  return ["nsenter", `--target=${pid}`, "--user", "--net", "--preserve-credentials"];
}

/** A line, with new namespaces: no TCP connection profits from what the system has learned from earlier ones. */
export class Line implements AsyncDisposable {
  readonly #near: readonly string[];
  readonly #far: readonly string[];
  readonly #processes: AsyncDisposableStack;

  private constructor(near: Process, far: Process, processes: AsyncDisposableStack) {
    this.#near = inside(near);
    this.#far = inside(far);
    this.#processes = processes;
  }

  /**
   * Creates a line.
   *
   * @throws {Error} If this system does not allow it, with the reason
   */
  static async open({ rtt, rate }: LineOptions): Promise<Line> {
    await using stack = new AsyncDisposableStack();
    const start = async (...command: string[]) => {
      const process = stack.use(new Process(command, []));
      await process.next();
      return process;
    };
    const near = await start("unshare", "--map-root-user", "--net", ...HOLD);
    const far = await start(...inside(near), "unshare", "--net", ...HOLD);
    const figures = [rtt / 2_000, rate, rate / 8 * BUFFER_TIME].map(String);
    // A line that waits for a core delays packets for longer. Without the right to a higher priority `nice` only warns.
    await start("nice", "-n", "-10", ...inside(near), "python3", DELAY_LINE, ...figures);
    await setUp(near, "near", NEAR_HOST, `ip link set far netns ${far.pid}`);
    await setUp(far, "far", FAR_HOST);
    return new Line(near, far, stack.move());
  }

  /** The command that runs a program at the client's side. */
  near(command: readonly string[]): string[] {
    return [...this.#near, ...command];
  }

  /** The command that runs a program at the server's side. */
  far(command: readonly string[]): string[] {
    return [...this.#far, ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }
}

/**
 * Configures the network of one side. Congestion control is reno, which every system allows, and which does not
 * take the delays of a busy machine for a full line, as cubic does at the start of a connection.
 */
async function setUp(side: Process, device: string, host: string, first = "true"): Promise<void> {
  const script = `set -e
    ${first}
    ip addr add ${host}/30 dev ${device}
    ip link set ${device} txqueuelen 10000 up
    ip link set lo up
    echo reno >/proc/sys/net/ipv4/tcp_congestion_control
    echo {}`;
  await using process = new Process([...inside(side), "sh", "-c", script], []);
  await process.next();
}
