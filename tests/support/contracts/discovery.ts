// What every Discovery must do. Run by the test of each.

import { assertEquals } from "@std/assert";
import type { Discovery } from "../../../discovery/discovery.ts";
import type { Endpoint } from "../../../discovery/endpoint.ts";
import { settle } from "../fake_clock.ts";

/** A discovery under test. */
export interface DiscoverySubject {
  discovery: Discovery;
  /** Changes the list, and lets the discovery learn of it. */
  change(endpoints: Endpoint[]): Promise<void>;
  /** Whether it has nothing running. */
  isIdle(): boolean;
}

const A: Endpoint = { address: "tcp@127.0.0.1:1" };
const B: Endpoint = { address: "tcp@127.0.0.1:2" };
const C: Endpoint = { address: "tcp@127.0.0.1:3", weight: 2, services: ["Foo"], metadata: { zone: "z" } };

/**
 * Registers the tests.
 *
 * @param name Of the discovery
 * @param open Makes one with the list it is given
 */
export function testDiscovery(
  name: string,
  open: (endpoints: Endpoint[]) => Promise<DiscoverySubject>,
): void {
  const test = (what: string, run: (subject: DiscoverySubject) => Promise<void>) =>
    Deno.test(`${name}: ${what}`, async () => {
      const subject = await open([A, B]);
      await run(subject);
      await settle();
      assertEquals(subject.isIdle(), true, "it left something running");
    });

  test("endpoints() is the latest list", async ({ discovery, change }) => {
    assertEquals(await discovery.endpoints(), [A, B]);
    await change([C]);
    assertEquals(await discovery.endpoints(), [C]);
    await change([]);
    assertEquals(await discovery.endpoints(), []);
  });

  test("lists are frozen", async ({ discovery }) => {
    const list = await discovery.endpoints();
    assertEquals([Object.isFrozen(list), Object.isFrozen(list[0])], [true, true]);
  });

  test("a watch sees the current list, then each change in order", async ({ discovery, change }) => {
    const seen: (readonly Endpoint[])[] = [];
    for await (const list of discovery.watch()) {
      seen.push(list);
      if (seen.length === 1) await change([A]);
      if (seen.length === 2) await change([A, C]);
      if (seen.length === 3) await change([]);
      if (seen.length === 4) break;
    }
    assertEquals(seen, [[A, B], [A], [A, C], []]);
  });

  test("a watch receives changes while it waits, and no update without a change", async ({ discovery, change }) => {
    const watch = discovery.watch()[Symbol.asyncIterator]();
    await watch.next();
    let settled = 0;
    const next = watch.next().finally(() => settled++);
    await settle();
    await change([{ ...A }, { ...B }]);
    await settle();
    assertEquals(settled, 0);
    await change([A, { ...B, weight: 7 }]);
    assertEquals(await next, { done: false, value: [A, { ...B, weight: 7 }] });
    await watch.return?.();
  });

  test("a slow watch sees the latest list and none of those it missed", async ({ discovery, change }) => {
    const watch = discovery.watch()[Symbol.asyncIterator]();
    assertEquals((await watch.next()).value, [A, B]);
    for (const list of [[A], [B], [A, B, C], [C]]) await change(list);
    assertEquals((await watch.next()).value, [C]);
    await watch.return?.();
  });

  test("a slow watch does not receive a change that was undone", async ({ discovery, change }) => {
    const watch = discovery.watch()[Symbol.asyncIterator]();
    await watch.next();
    await change([A]);
    await change([A, B]);
    const next = watch.next();
    await change([C]);
    assertEquals((await next).value, [C]);
    await watch.return?.();
  });

  test("watches do not disturb each other", async ({ discovery, change }) => {
    const one = discovery.watch()[Symbol.asyncIterator]();
    const two = discovery.watch()[Symbol.asyncIterator]();
    await Promise.all([one.next(), two.next()]);
    const next = two.next();
    await one.return?.();
    await change([B]);
    assertEquals((await next).value, [B]);
    assertEquals(await one.next(), { done: true, value: undefined });
    await two.return?.();
  });

  test("the signal ends a watch that waits, without an error", async ({ discovery }) => {
    const controller = new AbortController();
    const watch = discovery.watch({ signal: controller.signal })[Symbol.asyncIterator]();
    await watch.next();
    const waiting = [watch.next(), watch.next()];
    controller.abort(new Error("not to be seen"));
    const done = { done: true as const, value: undefined };
    assertEquals(await Promise.all(waiting), [done, done]);
    assertEquals(await watch.next(), done);
  });

  test("a signal that has aborted before ends a watch at once", async ({ discovery }) => {
    for await (const _list of discovery.watch({ signal: AbortSignal.abort() })) {
      throw new Error("not to be seen");
    }
  });

  test("return() ends a watch that waits", async ({ discovery }) => {
    const watch = discovery.watch()[Symbol.asyncIterator]();
    await watch.next();
    const next = watch.next();
    await watch.return?.();
    assertEquals(await next, { done: true, value: undefined });
  });

  test("a watch that is not iterated costs nothing", async ({ discovery, isIdle }) => {
    discovery.watch();
    discovery.watch()[Symbol.asyncIterator]();
    await settle();
    assertEquals(isIdle(), true);
  });

  test("watches that have ended leave no listener on the signal", async ({ discovery }) => {
    let listeners = 0;
    const { signal } = new AbortController();
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: unknown[]) => {
      listeners++;
      Reflect.apply(addEventListener, signal, args);
    };
    signal.removeEventListener = (...args: unknown[]) => {
      listeners--;
      Reflect.apply(removeEventListener, signal, args);
    };
    for (let i = 0; i < 10; i++) {
      for await (const _list of discovery.watch({ signal })) break;
    }
    assertEquals(listeners, 0);
  });
}
