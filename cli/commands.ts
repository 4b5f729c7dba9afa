// All commands, in the order in which the help shows them.

import { bench } from "./bench.ts";
import { call } from "./call.ts";
import type { Command } from "./command.ts";
import { completions } from "./completions.ts";
import { describe } from "./describe.ts";
import { health } from "./health.ts";
import { list } from "./list.ts";
import { ping } from "./ping.ts";
import { top } from "./top.ts";
import { watch } from "./watch.ts";

/** The commands. */
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
