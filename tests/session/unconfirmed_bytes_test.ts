// What a session has sent ahead of a peer that buffers: when it asks, and what the answers confirm.

import { assertEquals } from "@std/assert";
import { UnconfirmedBytes } from "../../session/unconfirmed_bytes.ts";

/** A window that asks for each 100 bytes, and how often it did. */
function open() {
  let pings = 0;
  const window = new UnconfirmedBytes({ ping: () => ++pings }, 100);
  return { window, pings: () => pings };
}

Deno.test("unconfirmed bytes: a Ping follows once enough has been sent, and no second one before its Pong", () => {
  const { window, pings } = open();
  window.onSent(99);
  assertEquals(pings(), 0);
  window.onSent(120);
  window.onSent(500);
  assertEquals(pings(), 1);
});

Deno.test("unconfirmed bytes: a Pong confirms what was sent before its Ping, and no more", () => {
  const { window, pings } = open();
  window.onSent(120);
  window.onSent(150);
  assertEquals(window.unconfirmed(150), 150);
  window.onPong(1);
  assertEquals(window.unconfirmed(150), 30);
  window.onSent(219);
  assertEquals(pings(), 1);
  window.onSent(220);
  assertEquals(pings(), 2);
});

Deno.test("unconfirmed bytes: Pongs of earlier Pings, and Pongs for nothing, confirm nothing", () => {
  const { window } = open();
  window.onPong(7);
  window.onSent(120);
  window.onPong(0);
  assertEquals(window.unconfirmed(120), 120);
});

Deno.test("unconfirmed bytes: the Pong of a later Ping confirms too, since it arrives in order", () => {
  const { window } = open();
  window.onSent(120);
  window.onPong(2);
  assertEquals(window.unconfirmed(120), 0);
});
