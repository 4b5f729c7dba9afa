// The places for handlers that all connections of a server share.

import { assertEquals } from "@std/assert";
import { simulate } from "../../testing/mod.ts";
import { CallSlots, PeerCallSlots } from "../../session/call_slots.ts";

function open(max: number) {
  let looked = 0;
  const places = new CallSlots(max, () => looked++);
  const connected = (peer: string) => new PeerCallSlots(places, () => peer);
  /** Takes as many as it gets, of `count`. */
  const fill = (peer: PeerCallSlots, count: number, now = 0) => {
    let taken = 0;
    for (; taken < count && peer.admits(now); taken++) peer.take();
    return taken;
  };
  return { places, connected, looked: () => looked, fill, [Symbol.dispose]: () => places.close() };
}

Deno.test("call slots: a single peer may use all of them", () => {
  using at = open(80);
  const { connected, fill } = at;
  const alone = connected("a");
  assertEquals(fill(alone, 100), 80);
  alone.release();
  assertEquals(alone.admits(0), true);
});

Deno.test("call slots: while other peers ask, the last ones are for peers below their share", () => {
  using at = open(80);
  const { connected, fill } = at;
  const [greedy, modest] = [connected("greedy"), connected("modest")];
  assertEquals(fill(greedy, 100), 80);
  assertEquals(modest.admits(1), false);
  // The first place that gets free is not for the peer that has had all of them.
  greedy.release();
  assertEquals([greedy.admits(2), modest.admits(2)], [false, true]);
  modest.take();
  for (let i = 0; i < 5; i++) greedy.release();
  assertEquals([greedy.admits(3), fill(modest, 100, 3)], [false, 5]);
});

Deno.test("call slots: while enough are free, a peer may use more than its share", () => {
  using at = open(80);
  const { connected, fill } = at;
  const [greedy, modest] = [connected("greedy"), connected("modest")];
  assertEquals(fill(modest, 1), 1);
  assertEquals(fill(greedy, 100), 69);
  assertEquals(fill(modest, 100), 10);
});

Deno.test("call slots: connections of one peer share them, and running handlers count after their connection ended", () => {
  using at = open(80);
  const { connected, fill } = at;
  const first = connected("greedy");
  fill(first, 60);
  first.close();
  const [again, other] = [connected("greedy"), connected("other")];
  assertEquals(fill(other, 5), 5);
  assertEquals(fill(again, 100), 5);
  for (let i = 0; i < 60; i++) first.release();
  assertEquals(fill(again, 10), 10);
});

Deno.test("call slots: a peer that was refused a while ago no longer counts as asking", () => {
  using at = open(80);
  const { connected, fill } = at;
  const [greedy, once] = [connected("greedy"), connected("once")];
  fill(greedy, 80);
  assertEquals(once.admits(0), false);
  greedy.release();
  assertEquals([greedy.admits(500), greedy.admits(5_000)], [false, true]);
});

Deno.test("call slots: handlers that wait for their callers are reclaimed while few are free", () =>
  simulate(async ({ sleep }) => {
    const { places, connected, looked, fill } = open(80);
    const peer = connected("a");
    fill(peer, 69);
    await sleep(5_000);
    assertEquals(looked(), 0);
    fill(peer, 1);
    await sleep(5_100);
    assertEquals(looked(), 10);
    peer.release();
    await sleep(5_000);
    assertEquals(looked(), 11);
    fill(peer, 1);
    places.close();
    await sleep(5_000);
    assertEquals(looked(), 11);
  }));
