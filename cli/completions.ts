// The command `completions`: what shells need to complete command lines, made of the table of commands.

import type { Command } from "./command.ts";
import type { Flag } from "./flags.ts";
import { UsageError } from "./usage_error.ts";

const SHELLS = ["bash", "zsh", "fish"];

/**
 * The command that prints completions.
 *
 * @param commands All commands, itself included, once they are all there
 */
export function completions(commands: () => readonly Command[]): Command {
  return {
    name: "completions",
    summary: "Prints the completions for a shell",
    operands: "bash|zsh|fish",
    choices: SHELLS,
    about: `For a program of the name rpc, as this makes one:

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
        throw new UsageError(`there are completions for bash, zsh and fish, not for ${JSON.stringify(name)}`);
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
  const files = named(all.filter(({ value }) => value === "FILE"));
  const others = named(
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

function named(flags: readonly Flag[]): string[] {
  return [...new Set(flags.map(({ name }) => `--${name}`))];
}

function zsh(commands: readonly Command[]): string {
  const list = commands.map(({ name, summary }) =>
    `    ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}\n`
  );
  const cases = commands.map(({ name, flags, choices }) => {
    const shown = [...flags, HELP].map((flag) => `        ${quoted(zshFlag(flag))} \\\n`);
    const operand = choices === undefined ? "*:operand: " : `1:choice:(${choices.join(" ")})`;
    return `    ${name})\n      _arguments \\\n${shown.join("")}        ${quoted(operand)} ;;\n`;
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
  // Some may be given several times; that is for the program to say.
  return `*--${name}=[${about}]:${value}:${how}`;
}

function fish(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const none = `complete -c rpc -n "not __fish_seen_subcommand_from ${names}"`;
  const lines = commands.flatMap(({ name, summary, flags, choices }) => [
    `${none} -a ${name} -d ${quoted(summary)}\n`,
    ...choices === undefined ? [] : [`${seen(name)} -a ${quoted(choices.join(" "))}\n`],
    ...[...flags, HELP].map((flag) =>
      `${seen(name)} -l ${flag.name}${fishValue(flag)} -d ${quoted(flag.help)}\n`
    ),
  ]);
  return `# Completions of rpc for fish\ncomplete -c rpc -f\n${lines.join("")}`;
}

function seen(command: string): string {
  return `complete -c rpc -n "__fish_seen_subcommand_from ${command}"`;
}

function fishValue({ value, choices }: Flag): string {
  if (value === undefined) return "";
  if (choices !== undefined) return ` -x -a ${quoted(choices.join(" "))}`;
  return value === "FILE" ? " -r -F" : " -x";
}

/** A word in single quotes, as all three shells read them. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}
