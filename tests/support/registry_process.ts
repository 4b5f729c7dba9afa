// The registry as a program: a process of its own.

const MAIN = new URL("../../registry/main.ts", import.meta.url).href;

export function command(args: string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command("deno", {
    args: ["run", "--quiet", "-P=registry", MAIN, ...args],
    env: { REGISTRY_TOKEN: "", ...env },
    stdout: "piped",
    stderr: "piped",
  });
}

/** Reads the line that says where it listens. */
export async function readLine(reader: ReadableStreamDefaultReader<string>): Promise<string> {
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`It ended after ${JSON.stringify(text)}`);
    text += value;
  }
  return text;
}
