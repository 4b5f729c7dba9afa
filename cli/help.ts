// The program's help, generated from the table of commands.

import type { Command } from "./command.ts";
import type { Flag } from "./flags.ts";

const ABOUT = `Calls and inspects RPC servers from the command line

Usage: rpc COMMAND …
`;

const TARGETS = `
An ADDRESS is tcp@host:port, tls@…, unix@/path, http@…, ws@…, wss@… or dns@name:port;
host:port means tcp@host:port.
A URL with http:// or https:// is that of a registry: the command uses the servers it lists.

Exit codes: 0, 1 if the command failed, 2 if the command line is invalid, 130 after Ctrl-C.
`;

/** The help of the program. */
export function usage(commands: readonly Command[]): string {
  const heads = commands.map(({ name, operands }) => `${name} ${operands}`.trimEnd());
  const width = Math.max(...heads.map((head) => head.length));
  const rows = commands.map(({ summary }, i) => `  ${heads[i]!.padEnd(width)}  ${summary}\n`);
  return `${ABOUT}\n${
    rows.join("")
  }\n  rpc COMMAND --help  Prints the help of a command, with examples\n  rpc --version       Prints the version\n${TARGETS}`;
}

/** The help of one command. */
export function commandHelp({ name, operands, summary, about, flags, examples }: Command): string {
  const shown = [...flags, { name: "help", help: "Print this help" }];
  const heads = shown.map(flagHead);
  const width = Math.max(...heads.map((head) => head.length));
  const rows = shown.map(({ help }, i) => `  ${heads[i]!.padEnd(width)}  ${help}\n`);
  const lines = examples.map(([line, what]) => `  # ${what}\n  rpc ${line}\n`);
  return `${summary}

Usage: rpc ${`${name} ${operands}`.trimEnd()} [flags]

${about.trim()}

${rows.join("")}
Examples:

${lines.join("\n")}`;
}

function flagHead({ name, value }: Flag): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`;
}
