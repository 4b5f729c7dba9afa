// Parses robots.txt (RFC 9309): which paths of a site a crawler may fetch, and how often. Pure.

import { normalizeEscapes } from "./url.ts";

/** The product token of this crawler in robots.txt. */
export const PRODUCT = "TroodonCrawler";

/** Limits of lines and rules: the file is untrusted. */
const MAX_LINES = 20_000;
const MAX_RULES = 2_000;
/** Maximum `Crawl-delay`, in ms; longer ones are shortened. */
const MAX_DELAY = 60_000;

/** The rules of a site. */
export interface Robots {
  /** Whether a path, with its query, may be fetched. */
  allows(path: string): boolean;
  /** The site's delay between two requests, in ms; 0 if it has none. */
  readonly delay: number;
}

/** For a site without robots.txt. */
export const ALLOW_ALL: Robots = Object.freeze({ allows: () => true, delay: 0 });
/** For a site whose robots.txt is unavailable because of a server error (RFC 9309 section 2.3.1.4). */
export const DISALLOW_ALL: Robots = Object.freeze({ allows: () => false, delay: 0 });

interface Rule {
  readonly allow: boolean;
  /** The parts between the stars. */
  readonly parts: readonly string[];
  /** Whether it ends with `$`. */
  readonly anchored: boolean;
  readonly length: number;
}

interface Group {
  readonly rules: Rule[];
  delay: number;
}

/**
 * Parses a robots.txt. Invalid lines are skipped; all groups that name the crawler are combined, and those
 * for `*` apply only if no group names it.
 *
 * @param text The file
 * @param product The crawler's product token, in any case
 */
export function parseRobots(text: string, product: string = PRODUCT): Robots {
  const own: Group = { rules: [], delay: 0 };
  const others: Group = { rules: [], delay: 0 };
  let named = false;
  let groups: Group[] = [];
  let inRules = true;
  for (const line of text.split(/\r\n?|\n/, MAX_LINES)) {
    const match = /^\s*([A-Za-z-]+)\s*:\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const key = match[1]!.toLowerCase();
    const value = match[2]!.trim();
    if (key === "user-agent") {
      // Consecutive user agents share the rules that follow.
      if (inRules) groups = [];
      inRules = false;
      if (value === "*") groups.push(others);
      else if (/^[A-Za-z_-]*/.exec(value)![0].toLowerCase() === product.toLowerCase()) {
        named = true;
        groups.push(own);
      }
    } else if (key === "allow" || key === "disallow") {
      inRules = true;
      if (value === "") continue;
      const rule = ruleOf(key === "allow", value);
      for (const { rules } of groups) if (rules.length < MAX_RULES) rules.push(rule);
    } else if (key === "crawl-delay") {
      inRules = true;
      const delay = Math.min(Number(value) * 1_000, MAX_DELAY);
      if (delay > 0) { for (const group of groups) group.delay = delay; }
    }
  }
  const { rules, delay } = named ? own : others;
  return { delay, allows: (path) => allows(rules, normalizeEscapes(path)) };
}

function ruleOf(allow: boolean, pattern: string): Rule {
  const anchored = pattern.endsWith("$");
  const path = normalizeEscapes(anchored ? pattern.slice(0, -1) : pattern);
  return { allow, parts: path.split(/\*+/), anchored, length: pattern.length };
}

/** Applies the longest matching rule; of equally long ones, the allowing one (RFC 9309 section 2.2.2). */
function allows(rules: readonly Rule[], path: string): boolean {
  if (path === "/robots.txt") return true;
  let best: Rule | undefined;
  for (const rule of rules) {
    if (best !== undefined && (rule.length < best.length || (rule.length === best.length && !rule.allow))) {
      continue;
    }
    if (matches(rule, path)) best = rule;
  }
  return best?.allow ?? true;
}

/**
 * Matches each part at its earliest position, in one pass: a regular expression could backtrack indefinitely.
 */
function matches({ parts, anchored }: Rule, path: string): boolean {
  const [first = "", ...rest] = parts;
  if (!path.startsWith(first)) return false;
  if (rest.length === 0) return !anchored || path.length === first.length;
  const last = anchored ? rest.pop()! : "";
  let at = first.length;
  for (const part of rest) {
    const found = path.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return path.endsWith(last) && path.length - last.length >= at;
}
