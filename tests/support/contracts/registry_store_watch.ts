// What every RegistryStore must do beyond leases: revisions, incarnations, states and watches. Run by the test of each.

import { assertEquals, assertRejects } from "@std/assert";
import { RpcError } from "../../../call/error.ts";
import type { LeaseEvent, RegistryStore } from "../../../registry/store.ts";
import type { StoreSubject } from "./registry_store.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";
const TTL = 2_000;

/** What a watch has delivered so far, applied to a list. */
export class Follower implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #changed = new Set<() => void>();
  /** Each address with its weight. */
  readonly weights = new Map<string, number | undefined>();
  readonly revisions: number[] = [];
  lists = 0;
  error: unknown;

  constructor(
    store: RegistryStore,
    after?: number,
    weights: ReadonlyMap<string, number | undefined> = new Map(),
  ) {
    for (const [address, weight] of weights) this.weights.set(address, weight);
    this.#running = this.#follow(store, after);
  }

  get revision(): number | undefined {
    return this.revisions.at(-1);
  }

  async #follow(store: RegistryStore, after: number | undefined): Promise<void> {
    try {
      for await (const event of store.watch({ after, signal: this.#stop.signal })) this.#take(event);
    } catch (error) {
      this.error = error;
    }
    for (const resolve of this.#changed) resolve();
  }

  #take(event: LeaseEvent): void {
    if ("list" in event) {
      this.lists++;
      this.weights.clear();
    } else for (const address of event.change.removed) this.weights.delete(address);
    const { revision } = "list" in event ? event.list : event.change;
    const leases = "list" in event ? event.list.leases : event.change.set;
    for (const { instance } of leases) this.weights.set(instance.address, instance.weight);
    this.revisions.push(revision);
    for (const resolve of this.#changed) resolve();
  }

  /** Waits until what it has received makes something true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.error !== undefined) throw this.error;
      await new Promise<void>((resolve) => this.#changed.add(resolve));
      this.#changed.clear();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** Registers the tests. `open` makes an empty store. */
export function testRegistryStoreWatch(
  name: string,
  open: () => Promise<StoreSubject>,
  ignore = false,
): void {
  const test = (what: string, run: (subject: StoreSubject) => Promise<void>) =>
    Deno.test({
      name: `${name}: ${what}`,
      ignore,
      async fn() {
        await using subject = await open();
        await run(subject);
      },
    });
  const codeOf = async (promise: Promise<unknown>) => (await assertRejects(() => promise, RpcError)).code;

  test("every change has a greater revision, a heartbeat has none", async ({ store }) => {
    const revisions = [(await store.list()).revision];
    const note = async (change: Promise<unknown>) => {
      await change;
      revisions.push((await store.list()).revision);
    };
    await note(store.grant({ address: A }, TTL));
    await note(store.grant({ address: A, weight: 2 }, TTL));
    await note(store.setState(A, "paused"));
    await note(store.grant({ address: A, weight: 2 }, TTL, 0));
    await note(store.revoke(A));
    for (let i = 1; i < revisions.length; i++) assertEquals(revisions[i]! > revisions[i - 1]!, true, `${i}`);
    await store.grant({ address: A }, TTL);
    const { revision } = await store.list();
    await store.renew(A);
    await store.grant({ address: A }, TTL);
    await store.setState(A, "active");
    assertEquals((await store.list()).revision, revision);
  });

  test("a late heartbeat of an old incarnation neither revives nor changes nor removes the new one", async ({ store }) => {
    const old = (await store.grant({ address: A, weight: 1 }, TTL, 0)).lease.incarnation;
    const { created, lease } = await store.grant({ address: A, weight: 2 }, TTL, 0);
    assertEquals([created, lease.incarnation > old], [false, true]);
    assertEquals(await codeOf(store.renew(A, old)), "aborted");
    assertEquals(await codeOf(store.grant({ address: A, weight: 1 }, TTL, old)), "aborted");
    assertEquals(await codeOf(store.revoke(A, old)), "aborted");
    assertEquals((await store.renew(A, lease.incarnation))?.incarnation, lease.incarnation);
    assertEquals((await store.list()).leases.map(({ instance }) => instance.weight), [2]);
    assertEquals(await store.revoke(A, lease.incarnation), true);
    // Nor when no server is left.
    for (const gone of [old, lease.incarnation]) {
      assertEquals(await store.renew(A, gone), undefined);
      assertEquals(await codeOf(store.grant({ address: A }, TTL, gone)), "not_found");
      assertEquals(await store.revoke(A, gone), false);
    }
    assertEquals((await store.list()).leases, []);
    assertEquals((await store.grant({ address: A }, TTL)).lease.incarnation > lease.incarnation, true);
  });

  test("renewing without an incarnation keeps the current one", async ({ store }) => {
    const { incarnation } = (await store.grant({ address: A }, TTL)).lease;
    assertEquals((await store.grant({ address: A, weight: 3 }, TTL)).lease.incarnation, incarnation);
    assertEquals((await store.renew(A))?.incarnation, incarnation);
    assertEquals((await store.grant({ address: A, weight: 4 }, TTL, incarnation)).lease.instance.weight, 4);
  });

  test("a state is kept over heartbeats, until it is set again or a new incarnation registers", async ({ store }) => {
    assertEquals(await store.setState(A, "paused"), undefined);
    await store.grant({ address: A }, TTL);
    assertEquals((await store.setState(A, "paused"))?.state, "paused");
    await store.renew(A);
    assertEquals((await store.grant({ address: A, weight: 2 }, TTL)).lease.state, "paused");
    assertEquals((await store.list()).leases[0]?.state, "paused");
    assertEquals((await store.setState(A, "draining"))?.state, "draining");
    assertEquals((await store.grant({ address: A }, TTL, 0)).lease.state, "active");
    await store.setState(A, "paused");
    await store.setState(A, "active");
    assertEquals((await store.renew(A))?.state, "active");
  });

  test("a state neither ends nor renews a lease", async ({ store, advance, late }) => {
    await store.grant({ address: A }, TTL);
    await advance(TTL * 0.7);
    await store.setState(A, "paused");
    await advance(TTL * 0.3 + late);
    assertEquals((await store.list()).leases, []);
  });

  test("a watch begins with the list, then delivers each change once and in order", async ({ store }) => {
    await store.grant({ address: A, weight: 1 }, TTL);
    await using follower = new Follower(store);
    await follower.until(() => follower.lists === 1);
    assertEquals([...follower.weights], [[A, 1]]);
    await store.grant({ address: B, weight: 2 }, TTL);
    await store.setState(A, "paused");
    await store.revoke(B);
    await follower.until(() => follower.revisions.length === 4);
    assertEquals([...follower.weights.keys()], [A]);
    assertEquals(follower.revision, (await store.list()).revision);
    assertEquals([...follower.revisions].sort((a, b) => a - b), follower.revisions);
  });

  test("a new incarnation begins in its given state, a renewed one keeps its own", async ({ store }) => {
    assertEquals((await store.grant({ address: A }, TTL, 0, "paused")).lease.state, "paused");
    assertEquals(
      (await store.grant({ address: A, weight: 2 }, TTL, undefined, "active")).lease.state,
      "paused",
    );
    assertEquals((await store.grant({ address: A }, TTL, 0, "draining")).lease.state, "draining");
    assertEquals((await store.grant({ address: A }, TTL, 0)).lease.state, "active");
  });

  test("distinguishes removed servers from silent ones", async ({ store, advance, late }) => {
    const withdrawn: string[] = [];
    const removed: string[] = [];
    const stop = new AbortController();
    await store.grant({ address: A }, TTL);
    await store.grant({ address: B }, TTL);
    const watching = (async () => {
      for await (const event of store.watch({ signal: stop.signal })) {
        if (!("change" in event)) continue;
        removed.push(...event.change.removed);
        withdrawn.push(...event.change.withdrawn ?? []);
      }
    })();
    await store.revoke(A);
    assertEquals((await store.list()).withdrawn, [A]);
    await advance(TTL + late);
    // Reading the list is what makes a store notice, if nothing else does.
    assertEquals((await store.list()).leases, []);
    await advance(10);
    stop.abort();
    await watching;
    assertEquals([removed, withdrawn], [[A, B], [A]]);
    await store.grant({ address: A }, TTL);
    assertEquals((await store.list()).withdrawn, []);
  });

  test("a watch delivers the end of a lease", async ({ store, advance, late }) => {
    await using follower = new Follower(store);
    await store.grant({ address: A }, TTL);
    await follower.until(() => follower.weights.size === 1);
    await advance(TTL + late);
    await follower.until(() => follower.weights.size === 0);
  });

  test("1000 changes reach a watch that comes back 50 times, none twice and none missing", async ({ store }) => {
    let { revision } = await store.list();
    let weights: ReadonlyMap<string, number | undefined> = new Map();
    let changes = 0;
    const expected = new Map<string, number>();
    const change = async () => {
      const address = `tcp@127.0.0.1:${1 + changes % 7}`;
      const weight = ++changes;
      if (changes % 5 === 0 && expected.delete(address)) await store.revoke(address);
      else {
        expected.set(address, weight);
        await store.grant({ address, weight }, 60_000);
      }
    };
    let received = 0;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 10; i++) await change();
      await using follower = new Follower(store, revision, weights);
      for (let i = 0; i < 10; i++) await change();
      const now = (await store.list()).revision;
      await follower.until(() => follower.revision === now);
      assertEquals(follower.lists, 0, "nothing was so old that it had to start over");
      assertEquals(follower.revisions[0]! > revision, true);
      for (let i = 1; i < follower.revisions.length; i++) {
        assertEquals(follower.revisions[i]! > follower.revisions[i - 1]!, true);
      }
      received += follower.revisions.length;
      revision = now;
      weights = follower.weights;
    }
    assertEquals([changes, received], [1_000, 1_000]);
    assertEquals([...weights].sort(), [...expected].sort());
  });

  test("a watch from a revision that is not known starts over with the list", async ({ store }) => {
    await store.grant({ address: A }, TTL);
    const { revision } = await store.list();
    for (const after of [0, 1, revision + 1_000_000]) {
      await using follower = new Follower(store, after);
      await follower.until(() => follower.lists === 1);
      assertEquals([...follower.weights.keys()], [A]);
    }
  });

  test("a watch ends with its signal, also one that has aborted before, and by leaving the loop", async ({ store }) => {
    const controller = new AbortController();
    const waiting = store.watch({ signal: controller.signal })[Symbol.asyncIterator]();
    await waiting.next();
    const next = waiting.next();
    controller.abort(new Error("not to be seen"));
    assertEquals((await next).done, true);
    for await (const _ of store.watch({ signal: controller.signal })) throw new Error("not to be seen");
    for await (const _ of store.watch()) break;
  });
}
