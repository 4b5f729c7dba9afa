// Measurements: lateness of calls and of the event loop, growth of memory.

/** Collects lateness in ms: maximum and percentiles. */
export class Lateness {
  /** One counter per millisecond; the last one counts everything above. */
  readonly #counts = new Uint32Array(10_001);
  #total = 0;
  max = 0;

  add(ms: number): void {
    this.max = Math.max(this.max, ms);
    this.#counts[Math.min(Math.max(0, Math.ceil(ms)), this.#counts.length - 1)]!++;
    this.#total++;
  }

  get count(): number {
    return this.#total;
  }

  /** The smallest time that is not exceeded by `share` of all times. */
  percentile(share: number): number {
    let remaining = Math.ceil(this.#total * share);
    for (const [ms, count] of this.#counts.entries()) {
      remaining -= count;
      if (remaining <= 0) return ms;
    }
    return this.max;
  }
}

/** Measures the lateness of timers, caused by the process itself. */
export class LoopLag implements Disposable {
  readonly lag = new Lateness();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.lag.add(now - last - 10);
      last = now;
    }, 10);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const MB_PER_HOUR = 3_600_000 / 1_048_576;

/** Fits a line to memory samples. */
export class Slope {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  add(bytes: number, at: number = performance.now()): void {
    this.#samples.push({ at, bytes });
  }

  /**
   * Fits a line (least squares) to the samples after the first `warmUp` of the time.
   *
   * @returns Growth in MB/h, twice its standard error, and the growth in MB between the first and the last
   * sample used
   */
  fit(warmUp = 0.3): { perHour: number; error: number; grown: number } {
    const all = this.#samples;
    if (all.length < 8) return { perHour: NaN, error: NaN, grown: NaN };
    const from = all[0]!.at + warmUp * (all.at(-1)!.at - all[0]!.at);
    const used = all.filter(({ at }) => at >= from);
    const n = used.length;
    const meanAt = used.reduce((sum, { at }) => sum + at, 0) / n;
    const meanBytes = used.reduce((sum, { bytes }) => sum + bytes, 0) / n;
    const squares = used.reduce((sum, { at }) => sum + (at - meanAt) ** 2, 0);
    const slope = used.reduce((sum, { at, bytes }) => sum + (at - meanAt) * (bytes - meanBytes), 0) / squares;
    const residual = used.reduce(
      (sum, { at, bytes }) => sum + (bytes - meanBytes - slope * (at - meanAt)) ** 2,
      0,
    );
    return {
      perHour: slope * MB_PER_HOUR,
      error: 2 * Math.sqrt(residual / (n - 2) / squares) * MB_PER_HOUR,
      grown: slope * (used.at(-1)!.at - used[0]!.at) / 1_048_576,
    };
  }
}

/** Memory of a process in bytes: live objects, and resident memory. */
export interface Memory {
  readonly heap: number;
  readonly rss: number;
}

/** Collects garbage, twice because finalizers may release more, and returns the memory in use. */
export async function memory(): Promise<Memory> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  await new Promise((resolve) => setTimeout(resolve, 10));
  gc?.();
  const { heapUsed, rss } = Deno.memoryUsage();
  return { heap: heapUsed, rss };
}

/**
 * Counts the open sockets of a process. Other descriptors are ignored: the pipes of the command that lists
 * them change with it.
 */
export async function sockets(pid: number): Promise<number> {
  const args = ["-l", `/proc/${pid}/fd`];
  const { stdout } = await new Deno.Command("ls", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes(" socket:")).length;
}

/** A signal that counts its listeners. */
export function countedSignal(): { readonly signal: AbortSignal; readonly listeners: () => number } {
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    listeners.add(args[1]);
    Reflect.apply(addEventListener, signal, args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners.delete(args[1]);
    Reflect.apply(removeEventListener, signal, args);
  };
  return { signal, listeners: () => listeners.size };
}
