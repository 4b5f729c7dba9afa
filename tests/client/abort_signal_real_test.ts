// Abort signals in Node, which warns of too many listeners.

import { assertEquals } from "@std/assert";
import { bundle } from "../support/bundle.ts";
import { Program } from "../support/node.ts";

const node = await Program.node();

Deno.test({
  name: `signal: one shared by many calls and clients raises no listener warning in Node${node.skipped}`,
  ignore: !node.present,
  async fn() {
    const script = await bundle("../../call/signals.ts") + `
      const { signal } = new AbortController();
      const fans = Array.from({ length: 30 }, () => new SignalFanOut(() => {}));
      fans.forEach((fan, i) => fan.add(signal, i));
      for (let i = 0; i < 30; i++) onAbort(signal, () => {});
      await new Promise((resolve) => setTimeout(resolve, 20));
    `;
    assertEquals(await node.run(script, []), { code: 0, stdout: "", stderr: "" });
  },
});
