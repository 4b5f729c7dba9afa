// The command `completions`: generates shell completion scripts from the table of commands.

import type { Command } from "./command.ts";
import type { Flag } from "./flags.ts";
import { UsageError } from "./usage_error.ts";

const SHELLS = ["bash", "zsh", "fish"];

/**
 * Creates the command that prints completion scripts.
 *
 * @param commands Returns all commands, this one included; called when the command runs
 */
export function completions(commands: () => readonly Command[]): Command {
  return {
    name: "completions",
    summary: "Prints the completion script for a shell",
    operands: "bash|zsh|fish",
    choices: SHELLS,
    about: `The scripts complete a program named rpc, installed for example by:

  deno install --global -N --name rpc jsr:@troodon/rpc/cli`,
    flags: [],
    examples: [
      ["completions bash > ~/.local/share/bash-completion/completions/rpc", "bash"],
      ['completions zsh > "${fpath[1]}/_rpc"', "zsh"],
      ["completions fish > ~/.config/fish/completions/rpc.fish", "fish"],
    ],
    async run({ operands: [name = ""], shell }) {
      const print = SCRIPTS.get(name);
      if (print === undefined) {
        throw new UsageError(`unknown shell ${JSON.stringify(name)}: expected bash, zsh or fish`);
      }
      await shell.out(print(commands()));
    },
  };
}

const SCRIPTS: ReadonlyMap<string, (commands: readonly Command[]) => string> = new Map([
  ["bash", bash],
  ["zsh", zsh],
  ["fish", fish],
]);

const HELP: Flag = { name: "help", help: "Print help" };

function bash(commands: readonly Command[]): string {
  const words = commands.map(({ name, flags, choices = [] }) => {
    const all = [...choices, ...[...flags, HELP].map(({ name }) => `--${name}`)];
    return `    ${name}) words="${all.join(" ")}" ;;\n`;
  });
  const all = commands.flatMap(({ flags }) => flags);
  const files = flagNames(all.filter(({ value }) => value === "FILE"));
  const others = flagNames(
    all.filter(({ value, choices }) => value !== undefined && value !== "FILE" && !choices),
  );
  const chosen = [...new Map(all.filter(({ choices }) => choices).map((flag) => [flag.name, flag])).values()];
  const choices = chosen.map(({ name, choices }) => {
    return `    --${name}) COMPREPLY=($(compgen -W "${choices!.join(" ")}" -- "$cur")); return ;;\n`;
  });
  return `# Completions of rpc for bash
_rpc() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words
  case "$previous" in
    ${files.join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
${choices.join("")}    ${others.join("|")}) COMPREPLY=(); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")} --help --version" -- "$cur"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${words.join("")}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _rpc rpc
`;
}

function flagNames(flags: readonly Flag[]): string[] {
  return [...new Set(flags.map(({ name }) => `--${name}`))];
}

function zsh(commands: readonly Command[]): string {
  const list = commands.map(({ name, summary }) =>
    `    ${singleQuoted(`${name}:${summary.replaceAll(":", "\\:")}`)}\n`
  );
  const cases = commands.map(({ name, flags, choices }) => {
    const shown = [...flags, HELP].map((flag) => `        ${singleQuoted(zshFlag(flag))} \\\n`);
    const operand = choices === undefined ? "*:operand: " : `1:choice:(${choices.join(" ")})`;
    return `    ${name})\n      _arguments \\\n${shown.join("")}        ${singleQuoted(operand)} ;;\n`;
  });
  return `#compdef rpc
# Completions of rpc for zsh
_rpc() {
  local -a commands=(
${list.join("")}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case "$words[1]" in
${cases.join("")}  esac
}
if [ "$funcstack[1]" = "_rpc" ]; then _rpc "$@"; else compdef _rpc rpc; fi
`;
}

function zshFlag({ name, value, help, choices }: Flag): string {
  const about = help.replace(/[[\]:]/g, "\\$&");
  if (value === undefined) return `--${name}[${about}]`;
  const how = choices !== undefined ? `(${choices.join(" ")})` : value === "FILE" ? "_files" : " ";
  // zsh offers a flag again after its first use, because some may be given several times; the program checks
  // which.
  return `*--${name}=[${about}]:${value}:${how}`;
}

function fish(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const none = `complete -c rpc -n "not __fish_seen_subcommand_from ${names}"`;
  const lines = commands.flatMap(({ name, summary, flags, choices }) => [
    `${none} -a ${name} -d ${singleQuoted(summary)}\n`,
    ...choices === undefined ? [] : [`${subcommandSeen(name)} -a ${singleQuoted(choices.join(" "))}\n`],
    ...[...flags, HELP].map((flag) =>
      `${subcommandSeen(name)} -l ${flag.name}${fishValue(flag)} -d ${singleQuoted(flag.help)}\n`
    ),
  ]);
  return `# Completions of rpc for fish\ncomplete -c rpc -f\n${lines.join("")}`;
}

function subcommandSeen(command: string): string {
  return `complete -c rpc -n "__fish_seen_subcommand_from ${command}"`;
}

function fishValue({ value, choices }: Flag): string {
  if (value === undefined) return "";
  if (choices !== undefined) return ` -x -a ${singleQuoted(choices.join(" "))}`;
  return value === "FILE" ? " -r -F" : " -x";
}

/** Quotes a word in single quotes, in the syntax common to all three shells. */
function singleQuoted(word: string): string {
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}
