// The workers of a crawl: follows the list of them, keeps a connection to each, and takes a job from the scheduler
// whenever one of them is ready. A worker that is lost gives its jobs back and is tried again.

import { type Client, connect, type ConnectOptions, type Discovery, RpcError } from "@troodon/rpc";
import { isWhole, MAX_SLOTS, PageWorker } from "./contract.ts";
import { pause } from "./program.ts";
import type { Job, Scheduler } from "./scheduler.ts";

/** A worker as the engine calls it. */
export type Worker = ReturnType<typeof workerOf>;

/** One worker, for those who look on. */
export interface WorkerStats {
  readonly address: string;
  readonly state: "connecting" | "ready" | "away" | "leaving";
  readonly slots: number;
  readonly busy: number;
  /** Jobs that it did. */
  readonly done: number;
}

/** What {@linkcode Workers} needs. */
export interface WorkersOptions {
  readonly discovery: Discovery;
  readonly scheduler: Scheduler;
  /** Does a job with a worker, and says after how many ms to try again, if so; rejects if the worker could not do it. */
  readonly work: (job: Job, worker: Worker) => Promise<number | undefined>;
  /** Told of a job whose worker was lost; says whether it is to be given back. */
  readonly onLost: (job: Job) => boolean;
  readonly log: (line: string) => void;
}

/** How long a worker may take to say that it is there, and the waits between attempts, in ms. */
const HELLO_TIMEOUT = 3_000;
const FIRST_WAIT = 100;
const LONGEST_WAIT = 5_000;
/** A worker that hangs is noticed after 5 s. What it did not do goes to another, which is not for the library to choose. */
const CONNECTION: ConnectOptions = {
  connectTimeout: HELLO_TIMEOUT,
  heartbeatInterval: 2_000,
  heartbeatTimeout: 3_000,
  failMode: "failfast",
};

/**
 * Errors that are about the job. All others are about the worker: gone, hung, overloaded, going away.
 */
const OF_THE_JOB: ReadonlySet<string> = new Set(["internal", "invalid_argument", "out_of_range", "unknown"]);

interface Member extends Omit<WorkerStats, "address"> {
  state: WorkerStats["state"];
  slots: number;
  busy: number;
  done: number;
  /** Aborts when the worker is off the list. */
  readonly leave: AbortController;
}

/** Keeps all workers at work. */
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

  /** Follows the list until the signal aborts; all workers are then let go. */
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
      // At the end they stay, for the last look at what each has done.
      if (this.#members.get(address) === member && !signal.aborted) this.#members.delete(address);
    });
    this.#gone.add(gone);
  }

  /** One worker, for as long as it is listed: connects, works, and connects again when it was lost. */
  async #serve(address: string, member: Member, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const left = member.leave.signal;
    for (let wait = FIRST_WAIT; !left.aborted; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        await using client = await connect(address, CONNECTION);
        const worker = workerOf(client);
        const slots = await worker.slots(undefined, { timeout: HELLO_TIMEOUT, signal: left });
        if (!isWhole(slots, 1, MAX_SLOTS)) {
          throw new RpcError(
            "data_loss",
            `Cannot use its slots: expected a whole number from 1 to ${MAX_SLOTS}`,
          );
        }
        member.slots = slots;
        log(`worker ${address} is ready, ${member.slots} pages at once`);
        member.state = "ready";
        wait = FIRST_WAIT;
        await this.#use(worker, member);
        break;
      } catch (error) {
        if (left.aborted) break;
        if (member.state !== "away") log(`worker ${address} is away: ${(error as Error).message}`);
        member.state = "away";
      }
      await pause(wait, left);
    }
    if (!signal.aborted) log(`worker ${address} has left`);
  }

  /**
   * As many jobs at once as the worker takes, until it is off the list or there are none any more. Rejects when it is
   * lost, once all its jobs are given back.
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
        else scheduler.again(job, wait);
      } catch (error) {
        onFailure(error);
        if (onLost(job)) scheduler.again(job);
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

/** Whether an error says something of the job, rather than of the worker that had it. */
export function isOfTheJob(error: unknown): error is RpcError {
  return error instanceof RpcError && error.remote && OF_THE_JOB.has(error.code);
}
