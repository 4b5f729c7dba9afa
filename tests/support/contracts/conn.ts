// What every Conn must do: the manners of a socket, on which sessions rely. What is simulated must have them too, or
// tests over it would prove nothing.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Conn, type Listener, writeAll } from "../../../transport/conn.ts";

/** Conns under test. */
export interface ConnSubject {
  listener: Listener;
  /** Dials the listener. */
  dial(): Promise<Conn>;
}

const text = (text: string) => new TextEncoder().encode(text);

async function readText(conn: Conn): Promise<string | null> {
  const into = new Uint8Array(100);
  const count = await conn.read(into);
  return count === null ? null : new TextDecoder().decode(into.subarray(0, count));
}

/** Writes until that fails: a socket notices only after a while that its peer is gone. */
async function writeUntilItFails(conn: Conn): Promise<void> {
  const chunk = new Uint8Array(1_000);
  for (let n = 0; n < 10_000; n++) {
    await conn.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/**
 * Registers the tests.
 *
 * @param name Of the transport
 * @param open Begins to listen
 */
export function testConn(name: string, open: () => ConnSubject | Promise<ConnSubject>): void {
  const test = (promise: string, run: (a: Conn, b: Conn, subject: ConnSubject) => Promise<void>) =>
    Deno.test(`Conn contract, ${name}: ${promise}`, async () => {
      const subject = await open();
      const [b, a] = await Promise.all([subject.listener.accept(), subject.dial()]);
      await run(a, b!, subject);
      for (const each of [a, b!, subject.listener]) each.close();
    });

  test("bytes come in order, and a read takes what is there", async (a, b) => {
    await writeAll(a, text("one"));
    assertEquals(await readText(b), "one");
    await writeAll(b, text("back"));
    assertEquals(await readText(a), "back");
    const into = new Uint8Array(2);
    await writeAll(a, text("abc"));
    assertEquals([await b.read(into), new TextDecoder().decode(into)], [2, "ab"]);
    assertEquals(await readText(b), "c");
  });

  test("a side that ended is read to the end, and still reads", async (a, b) => {
    await writeAll(a, text("last words"));
    await a.closeWrite();
    assertEquals([await readText(b), await readText(b), await readText(b)], ["last words", null, null]);
    await writeAll(b, text("still here"));
    assertEquals(await readText(a), "still here");
    await assertRejects(() => a.write(text("more")), Error);
  });

  test("a closed side is the end for the other", async (a, b) => {
    await writeAll(a, text("last words"));
    a.close();
    a.close();
    assertEquals([await readText(b), await readText(b)], ["last words", null]);
    await assertRejects(() => writeUntilItFails(b), Error);
    await assertRejects(() => a.read(new Uint8Array(1)), Error);
    await assertRejects(() => a.write(new Uint8Array(1)), Error);
  });

  test("closing over unread input leaves nothing to read or write for the other", async (a, b) => {
    await writeAll(a, text("unread"));
    // It has arrived once some of it can be read.
    await b.read(new Uint8Array(1));
    b.close();
    // Deno's sockets send an end just before the reset; which of the two is found is a matter of luck.
    const found = await readText(a).catch((error) => error);
    assert(found === null || found instanceof Deno.errors.ConnectionReset, Deno.inspect(found));
    await assertRejects(() => writeUntilItFails(a), Error);
  });

  test("what comes in for a closed side resets too", async (a, b) => {
    b.close();
    await a.write(text("nobody takes this"));
    await assertRejects(() => writeUntilItFails(a), Error);
  });

  test("closing ends a read under way", async (a) => {
    const reading = assertRejects(() => a.read(new Uint8Array(1)), Error);
    a.close();
    await reading;
  });

  test("a writer waits for a reader, and nothing is lost or mixed up", async (a, b) => {
    const size = 20_000_000;
    const sent = new Uint8Array(size);
    for (let at = 0; at < size; at++) sent[at] = at * 7 + (at >> 8);
    let written = 0;
    const writing = (async () => {
      while (written < size) written += await a.write(sent.subarray(written, written + 1_000_000));
      await a.closeWrite();
    })();
    let before = -1;
    while (written > before) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert(written < size, "it took all of it with nobody reading");
    const into = new Uint8Array(100_000);
    let read = 0;
    for (let count = await b.read(into); count !== null; count = await b.read(into)) {
      assert(count > 0);
      for (let at = 0; at < count; at++) {
        if (into[at] !== sent[read + at]) throw new Error(`Wrong at ${read + at}`);
      }
      read += count;
    }
    await writing;
    assertEquals(read, size);
  });

  test("accepting waits for a connection, and ends with the listener", async (_a, _b, { dial, listener }) => {
    const [c, d] = await Promise.all([dial(), listener.accept()]);
    await writeAll(c, text("hello"));
    assertEquals(await readText(d!), "hello");
    assert(/^\w+@.+/.test(c.peer) && /^\w+@.+/.test(d!.peer), `${c.peer} ${d!.peer}`);
    const last = listener.accept();
    listener.close();
    listener.close();
    assertEquals([await last, await listener.accept()], [null, null]);
    const refused = await assertRejects(dial, Error);
    // Node's sockets have a code in place of the class.
    const { code } = refused as { code?: unknown };
    assert(refused instanceof Deno.errors.ConnectionRefused || code === "ECONNREFUSED", refused.message);
    c.close();
    d!.close();
  });
}
