// What users hand to the command line that is not UTF-8: an error that says where, and nothing goes to a server.

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { fromUtf8 } from "../../cli/utf8.ts";
import { cli } from "../support/cli_shell.ts";
import { Server } from "../../mod.ts";

/** A server that answers with what it is sent. */
async function open() {
  const server = new Server().register("Echo", {
    echo: (value: unknown) => value,
    each: async function* (values: AsyncIterable<unknown>) {
      yield* values;
    },
  });
  return { ...await server.listen("tcp@127.0.0.1:0"), [Symbol.asyncDispose]: () => server.close() };
}

/** Bytes of text, and others. */
function bytes(...parts: (string | readonly number[])[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    parts.flatMap((part) => typeof part === "string" ? [...new TextEncoder().encode(part)] : part),
  );
}

Deno.test("cli UTF-8: text is read as it is, with all that looks odd", () => {
  for (const text of ["", "plain", "ä€😀", "\ufeffa", "\ufffd", "\0\n\u{10ffff}"]) {
    assertEquals(fromUtf8(new TextEncoder().encode(text)), text);
  }
});

Deno.test("cli UTF-8: the error names the first byte of what is not well-formed, and where it is", () => {
  const cases: [Uint8Array, string][] = [
    [bytes([0xff]), "byte 0xff at offset 0"],
    [bytes("ab", [0x80], "c"), "byte 0x80 at offset 2"],
    [bytes("ä", [0xc3]), "byte 0xc3 at offset 2"],
    [bytes("ä", [0xc3, 0x28]), "byte 0xc3 at offset 2"],
    [bytes("€", [0xe2, 0x82], "€"), "byte 0xe2 at offset 3"],
    [bytes("😀", [0xf0, 0x9f, 0x98]), "byte 0xf0 at offset 4"],
    // Overlong, a surrogate, and beyond Unicode.
    [bytes("\ufffd", [0xc0, 0xaf]), "byte 0xc0 at offset 3"],
    [bytes("a", [0xed, 0xa0, 0x80]), "byte 0xed at offset 1"],
    [bytes("a", [0xf4, 0x90, 0x80, 0x80]), "byte 0xf4 at offset 1"],
    [bytes("a", [0xf8, 0x88, 0x80, 0x80, 0x80]), "byte 0xf8 at offset 1"],
  ];
  for (const [input, message] of cases) {
    assertThrows(() => fromUtf8(input), TypeError, `${message} is not UTF-8`);
  }
  assertThrows(() => fromUtf8(bytes("a", [0xff]), 1_000), TypeError, "at offset 1001 ");
});

/** Input that comes in chunks of some bytes. */
function chunks(input: Uint8Array<ArrayBuffer>, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < input.length; at += size) parts.push(input.subarray(at, at + size));
  return ReadableStream.from(parts);
}

Deno.test("cli UTF-8: lines of the input are read whole, however they are cut", async () => {
  await using server = await open();
  const input = bytes('\ufeff"ä"\r\n\n"€😀"\n"last"');
  for (const size of [1, 2, 3, 5, 100]) {
    const { out } = await cli(["call", server.address, "Echo.each", "-"], { stdin: chunks(input, size) });
    assertEquals(out, '"ä"\n"€😀"\n"last"\n');
  }
});

Deno.test("cli UTF-8: a line of the input that is not is an error with its offset, and is not sent", async () => {
  await using server = await open();
  const input = bytes('"ä"\n\n"€', [0xff], '"\n"more"\n');
  for (const size of [1, 4, 100]) {
    const { code, out, err } = await cli(["call", server.address, "Echo.each", "-"], {
      stdin: chunks(input, size),
    });
    assertEquals([code, out.replace('"ä"\n', "")], [2, ""]);
    assertStringIncludes(
      err,
      "rpc: Cannot read line 3 of the input: byte 0xff at offset 10 is not UTF-8\n",
    );
  }
});

Deno.test("cli UTF-8: an argument in which something was replaced is refused, with its place", async () => {
  await using server = await open();
  for (
    const [args, place] of [
      [["call", server.address, "Echo.echo", '"ä\ufffd"'], "argument 4 is not valid UTF-8 at byte 3;"],
      [
        ["call", server.address, "Echo.echo", "1", "--token=\ufffd"],
        "argument 5 is not valid UTF-8 at byte 8;",
      ],
      [["\ufffd"], "argument 1 is not valid UTF-8 at byte 0;"],
    ] as const
  ) {
    const { code, out, err } = await cli(args);
    assertEquals([code, out], [2, ""]);
    assertStringIncludes(err, place);
  }
  const { out } = await cli(["call", server.address, "Echo.echo", String.raw`"\ufffd"`]);
  assertEquals(out, '"\ufffd"\n');
});
