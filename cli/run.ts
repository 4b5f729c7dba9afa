// Runs a command line and returns the exit code. Called by main.ts, and by tests with their own shell.

import { RpcError } from "../call/error.ts";
import { adviceOn, Advised } from "./advice.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { type Flag, readArgs } from "./flags.ts";
import { commandHelp, usage } from "./help.ts";
import { nearest } from "../call/nearest.ts";
import { oneLine } from "../call/safe_text.ts";
import { printValue } from "./print_value.ts";
import { Interrupted, OutputClosed, type Shell } from "./shell.ts";
import { printable } from "./format.ts";
import { UsageError } from "./usage_error.ts";
import { VERSION } from "./version.ts";

/** Exit codes besides 0 and those of signals. */
const FAILED = 1;
const USAGE_ERROR = 2;
/** The same as after SIGPIPE. */
const OUTPUT_CLOSED = 141;

const GLOBAL_FLAGS: readonly Flag[] = [
  { name: "help", help: "Print this help" },
  { name: "version", help: "Print the version" },
];

/**
 * Runs a command line.
 *
 * @param args The arguments after the program's name
 * @param shell Input and output
 * @returns The exit code: 0, 1 if the command failed, 2 if the command line is invalid, 128 plus the signal's
 * number if the user interrupted, 141 if the output was closed by its reader
 */
export async function run(args: readonly string[], shell: Shell): Promise<number> {
  const [name, ...rest] = args;
  const command = COMMANDS.find((command) => command.name === name);
  try {
    for (const [index, arg] of args.entries()) checkUtf8(arg, index + 1);
    if (command !== undefined) return await runCommand(command, rest, shell);
    return await runWithout(args, shell);
  } catch (error) {
    return await explain(error, command, rest, shell);
  }
}

/** Rejects an argument in which Deno has replaced invalid UTF-8: the original bytes are lost. */
function checkUtf8(arg: string, number: number): void {
  const at = arg.indexOf("\ufffd");
  if (at < 0) return;
  const offset = new TextEncoder().encode(arg.slice(0, at)).length;
  throw new UsageError(
    `argument ${number} is not valid UTF-8 at byte ${offset}; to pass the character U+FFFD itself, write \\ufffd in JSON`,
  );
}

async function runCommand(command: Command, args: readonly string[], shell: Shell): Promise<number> {
  const { operands, flags } = readArgs(args, [...command.flags, ...GLOBAL_FLAGS]);
  if (flags.has("help")) {
    await shell.out(commandHelp(command));
    return 0;
  }
  if (flags.has("version")) return await printVersion(shell);
  const expected = command.operands.split(" ").filter((operand) => operand !== "");
  const missing = expected.find((operand, i) => i >= operands.length && !operand.startsWith("["));
  if (missing !== undefined) {
    throw new UsageError(`missing ${missing}: rpc ${command.name} ${command.operands}`);
  }
  if (operands.length > expected.length) {
    const extra = JSON.stringify(operands[expected.length]);
    throw new UsageError(`unexpected argument ${extra}: rpc ${command.name} ${command.operands}`);
  }
  const code = await command.run({ operands, flags, shell, signal: shell.signal }) ?? 0;
  shell.signal.throwIfAborted();
  return code;
}

/** Runs a command line that does not begin with a command. */
async function runWithout(args: readonly string[], shell: Shell): Promise<number> {
  const [name, topic] = args;
  if (name === undefined) {
    await shell.err(usage(COMMANDS));
    return USAGE_ERROR;
  }
  if (name === "--version") return await printVersion(shell);
  if (name === "help" || name === "--help" || name === "-h") {
    const about = COMMANDS.find((command) => command.name === topic);
    if (topic !== undefined && about === undefined) throw unknownCommand(topic);
    await shell.out(about === undefined ? usage(COMMANDS) : commandHelp(about));
    return 0;
  }
  if (name.startsWith("-")) throw new UsageError(`expected a command before ${name}`);
  throw unknownCommand(name);
}

async function printVersion(shell: Shell): Promise<number> {
  await shell.out(`rpc ${VERSION} (@troodon/rpc)\n`);
  return 0;
}

function unknownCommand(name: string): UsageError {
  const names = COMMANDS.map((command) => command.name);
  const close = nearest(name, names);
  const hint = close === undefined ? `the commands are ${names.join(", ")}` : `did you mean ${close}?`;
  return new UsageError(`unknown command ${JSON.stringify(name)}; ${hint}`);
}

/** Prints why the command failed, and returns the exit code. */
async function explain(
  error: unknown,
  command: Command | undefined,
  args: readonly string[],
  shell: Shell,
): Promise<number> {
  // An error after an interruption is a consequence of it.
  if (shell.signal.aborted) {
    const { reason } = shell.signal;
    return reason instanceof Interrupted ? reason.code : FAILED;
  }
  if (error instanceof OutputClosed) return OUTPUT_CLOSED;
  const help = command === undefined ? "rpc --help" : `rpc ${command.name} --help`;
  if (error instanceof UsageError) {
    await shell.err(`rpc: ${printableLines(error.message)}\nSee ${help}\n`);
    return USAGE_ERROR;
  }
  const failure = error instanceof Advised ? error.error : error;
  if (failure instanceof RpcError) {
    const advice = error instanceof Advised ? error.lines : [adviceOn(failure) ?? []].flat();
    await shell.err(args.includes("--json") ? errorAsJson(failure) : errorAsText(failure, advice));
    return FAILED;
  }
  await shell.err(
    `rpc: ${printableLines(error instanceof Error ? error.stack ?? error.message : String(error))}\n`,
  );
  return FAILED;
}

function errorAsJson({ code, message, details }: RpcError): string {
  return `${printValue({ error: { code, message, details } })}\n`;
}

function errorAsText({ code, message, details }: RpcError, advice: readonly string[]): string {
  const about = [
    `rpc: ${code}: ${oneLine(message)}`,
    ...details === undefined ? [] : [`details: ${printValue(details)}`],
    ...advice.map(printable),
  ];
  return `${about.join("\n")}\n`;
}

/** Escapes each line for the terminal. */
function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}
