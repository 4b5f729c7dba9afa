// Splits a byte stream into lines, for both sides of the control protocol.

/** The lines of a stream of UTF-8, split at every LF. Text after the last LF is not a line. */
export async function* linesOf(bytes: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let buffered = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (buffered + text).split("\n");
    buffered = lines.pop()!;
    yield* lines;
  }
}
