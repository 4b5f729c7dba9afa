// All commands, in the order of the help.

import { bench } from "./bench.ts";
import { call } from "./call.ts";
import type { Command } from "./command.ts";
import { completions } from "./completions.ts";
import { describe } from "./describe.ts";
import { health } from "./health_command.ts";
import { list } from "./list.ts";
import { ping } from "./ping.ts";
import { top } from "./top.ts";
import { watch } from "./watch.ts";

/** All commands. */
export const COMMANDS: readonly Command[] = [
  call,
  list,
  describe,
  ping,
  health,
  bench,
  watch,
  top,
  completions(() => COMMANDS),
];
