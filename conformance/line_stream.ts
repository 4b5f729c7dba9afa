// Text to lines, for the control protocol, on both ends of it.

/** The lines of a stream of UTF-8, cut at every LF. What stands behind the last is no line. */
export async function* linesOf(bytes: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let held = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (held + text).split("\n");
    held = lines.pop()!;
    yield* lines;
  }
}
