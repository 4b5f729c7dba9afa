// The workers of a crawl: follows their list, keeps a connection to each, and gives ready workers jobs from
// the scheduler. Jobs of a lost worker are requeued, and the connection is retried.

import { type Client, connect, type ConnectOptions, type Discovery, RpcError } from "@troodon/rpc";
import { isWhole, MAX_SLOTS, PageWorker } from "./contract.ts";
import { pause } from "./program.ts";
import type { Job, Scheduler } from "./scheduler.ts";

/** A worker as the engine calls it. */
export type Worker = ReturnType<typeof workerOf>;

/** Statistics of a worker. */
export interface WorkerStats {
  readonly address: string;
  readonly state: "connecting" | "ready" | "unreachable" | "leaving";
  readonly slots: number;
  readonly busy: number;
  /** Number of completed jobs. */
  readonly done: number;
}

/** Dependencies of {@linkcode Workers}. */
export interface WorkersOptions {
  readonly discovery: Discovery;
  readonly scheduler: Scheduler;
  /**
   * Executes a job with a worker. Returns the delay in ms before a retry, if any; rejects if the worker could
   * not do it.
   */
  readonly work: (job: Job, worker: Worker) => Promise<number | undefined>;
  /** Called with a job whose worker was lost. Returns whether to requeue it. */
  readonly onLost: (job: Job) => boolean;
  readonly log: (line: string) => void;
}

/** Timeout of the first call, and the delays between attempts to connect, in ms. */
const HELLO_TIMEOUT = 3_000;
const FIRST_WAIT = 100;
const MAX_WAIT = 5_000;
/**
 * A hanging worker is detected after 5 s. The scheduler reassigns its jobs, so the library must not fail
 * over.
 */
const CONNECTION: ConnectOptions = {
  connectTimeout: HELLO_TIMEOUT,
  heartbeatInterval: 2_000,
  heartbeatTimeout: 3_000,
  failMode: "failfast",
};

/**
 * Errors caused by the job. All others are caused by the worker: gone, hanging, overloaded, shutting down.
 */
const JOB_ERRORS: ReadonlySet<string> = new Set(["internal", "invalid_argument", "out_of_range", "unknown"]);

interface Member extends Omit<WorkerStats, "address"> {
  state: WorkerStats["state"];
  slots: number;
  busy: number;
  done: number;
  /** Aborts when the worker leaves the list. */
  readonly leave: AbortController;
}

/** Keeps all workers busy. */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #members = new Map<string, Member>();
  readonly #gone = new Set<Promise<void>>();
  #ended = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  get stats(): WorkerStats[] {
    return [...this.#members].map(([address, { state, slots, busy, done, leave }]) => {
      return { address, state: leave.signal.aborted && !this.#ended ? "leaving" : state, slots, busy, done };
    });
  }

  /** Follows the list until the signal aborts, then disconnects all workers. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const endpoints of this.#options.discovery.watch({ signal })) {
      const listed = new Set(endpoints.map(({ address }) => address));
      for (const address of listed) this.#join(address, signal);
      for (const [address, { leave }] of this.#members) if (!listed.has(address)) leave.abort();
    }
    this.#ended = true;
    for (const { leave } of this.#members.values()) leave.abort();
    await Promise.all(this.#gone);
  }

  #join(address: string, signal: AbortSignal): void {
    const before = this.#members.get(address);
    if (before !== undefined && !before.leave.signal.aborted) return;
    const member: Member = { state: "connecting", slots: 0, busy: 0, done: 0, leave: new AbortController() };
    this.#members.set(address, member);
    const gone = this.#serve(address, member, signal).finally(() => {
      this.#gone.delete(gone);
      // Keep the statistics at the end of the crawl.
      if (this.#members.get(address) === member && !signal.aborted) this.#members.delete(address);
    });
    this.#gone.add(gone);
  }

  /** Serves one worker for as long as it is listed: connects, runs jobs, and reconnects after a loss. */
  async #serve(address: string, member: Member, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const left = member.leave.signal;
    for (let wait = FIRST_WAIT; !left.aborted; wait = Math.min(wait * 2, MAX_WAIT)) {
      try {
        await using client = await connect(address, CONNECTION);
        const worker = workerOf(client);
        const slots = await worker.slots(undefined, { timeout: HELLO_TIMEOUT, signal: left });
        if (!isWhole(slots, 1, MAX_SLOTS)) {
          throw new RpcError(
            "data_loss",
            `Cannot use the worker's slots: expected a whole number from 1 to ${MAX_SLOTS}`,
          );
        }
        member.slots = slots;
        log(`worker ${address} is ready for ${member.slots} concurrent pages`);
        member.state = "ready";
        wait = FIRST_WAIT;
        await this.#use(worker, member);
        break;
      } catch (error) {
        if (left.aborted) break;
        if (member.state !== "unreachable") {
          log(`worker ${address} is unreachable: ${(error as Error).message}`);
        }
        member.state = "unreachable";
      }
      await pause(wait, left);
    }
    if (!signal.aborted) log(`worker ${address} has left`);
  }

  /**
   * Runs as many concurrent jobs as the worker accepts, until it leaves the list or no jobs are left. Rejects
   * when the worker is lost, after all its jobs have been requeued.
   */
  async #use(worker: Worker, member: Member): Promise<void> {
    const end = new AbortController();
    const leave = () => end.abort();
    const left = member.leave.signal;
    left.addEventListener("abort", leave);
    if (left.aborted) leave();
    const failures: unknown[] = [];
    const onFailure = (error: unknown) => {
      failures.push(error);
      end.abort();
    };
    const slots = Array.from(
      { length: member.slots },
      () => this.#slot(worker, member, end.signal, onFailure),
    );
    await Promise.all(slots);
    left.removeEventListener("abort", leave);
    if (failures.length > 0) throw failures[0];
  }

  async #slot(
    worker: Worker,
    member: Member,
    end: AbortSignal,
    onFailure: (error: unknown) => void,
  ): Promise<void> {
    const { scheduler, work, onLost } = this.#options;
    for (;;) {
      const job = await scheduler.take(end);
      if (job === undefined) return;
      member.busy++;
      try {
        const wait = await work(job, worker);
        member.done++;
        if (wait === undefined) scheduler.done(job);
        else scheduler.retry(job, wait);
      } catch (error) {
        onFailure(error);
        if (onLost(job)) scheduler.retry(job);
        else scheduler.done(job);
      } finally {
        member.busy--;
      }
    }
  }
}

function workerOf(client: Client) {
  return client.service(PageWorker);
}

/** Whether an error is caused by the job rather than by the worker. */
export function isJobError(error: unknown): error is RpcError {
  return error instanceof RpcError && error.remote && JOB_ERRORS.has(error.code);
}
