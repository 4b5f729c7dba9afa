// Parses robots.txt (RFC 9309): which paths of a site a crawler may fetch, and how often. Pure.

/** The product token of this crawler in robots.txt. */
export const PRODUCT = "TroodonCrawler";

/** Limits of lines and rules: the file is untrusted. */
const MAX_LINES = 20_000;
const MAX_RULES = 2_000;
/** Each star may cost a scan of the path, for every link. Rules with stars beyond this number are ignored. */
const MAX_STARS = 200;
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
  stars: number;
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
  const own: Group = { rules: [], stars: 0, delay: 0 };
  const others: Group = { rules: [], stars: 0, delay: 0 };
  let named = false;
  let groups = new Set<Group>();
  let inRules = true;
  for (const line of text.split(/\r\n?|\n/, MAX_LINES)) {
    const match = /^\s*([A-Za-z-]+)\s*:\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const key = match[1]!.toLowerCase();
    const value = match[2]!.trim();
    if (key === "user-agent") {
      // Consecutive user agents share the rules that follow.
      if (inRules) groups = new Set();
      inRules = false;
      if (value === "*") groups.add(others);
      else if (/^[A-Za-z_-]*/.exec(value)![0].toLowerCase() === product.toLowerCase()) {
        named = true;
        groups.add(own);
      }
    } else if (key === "allow" || key === "disallow") {
      inRules = true;
      if (value === "") continue;
      const rule = ruleOf(key === "allow", value);
      for (const group of groups) addRule(group, rule);
    } else if (key === "crawl-delay") {
      inRules = true;
      const delay = Math.min(Number(value) * 1_000, MAX_DELAY);
      if (delay > 0) { for (const group of groups) group.delay = delay; }
    }
  }
  const { rules, delay } = named ? own : others;
  const matching = matcher(rules);
  return { delay, allows: (path) => path === "/robots.txt" || (matching(comparable(path))?.allow ?? true) };
}

/** The rules in the order in which they apply: the longest first, of equally long ones those that allow. */
function precedence(a: Pick<Rule, "allow" | "length">, b: Pick<Rule, "allow" | "length">): number {
  return b.length - a.length || Number(b.allow) - Number(a.allow);
}

/** Returns a function that finds the rule that applies to a path (RFC 9309 section 2.2.2). */
function matcher(rules: Rule[]): (path: string) => Rule | undefined {
  rules.sort(precedence);
  // Prefixes are looked up: comparing thousands of long ones with each path would take milliseconds.
  const prefixes = new Map<string, Rule>();
  const patterns: Rule[] = [];
  for (const rule of rules) {
    const [prefix = ""] = rule.parts;
    if (rule.anchored || rule.parts.length > 1) patterns.push(rule);
    else if (!prefixes.has(prefix)) prefixes.set(prefix, rule);
  }
  const lengths = [...new Set([...prefixes.values()].map(({ length }) => length))];
  return (path) => {
    const length = lengths.find((length) => length <= path.length && prefixes.has(path.slice(0, length)));
    const prefix = length === undefined ? undefined : prefixes.get(path.slice(0, length));
    const pattern = patterns.find((rule) => matches(rule, path));
    return [prefix, pattern].filter((rule) => rule !== undefined).sort(precedence)[0];
  };
}

function ruleOf(allow: boolean, pattern: string): Rule {
  const anchored = pattern.endsWith("$");
  const path = comparable(anchored ? pattern.slice(0, -1) : pattern, "*");
  return { allow, parts: path.split(/\*+/), anchored, length: path.length + Number(anchored) };
}

function addRule(group: Group, rule: Rule): void {
  const stars = rule.parts.length - 1;
  if (group.rules.length >= MAX_RULES || (stars > 0 && group.stars + stars > MAX_STARS)) return;
  group.rules.push(rule);
  group.stars += stars;
}

/**
 * The form in which paths and rules are compared (RFC 9309 section 2.2.2): unreserved characters as they are, all
 * others as escapes of their UTF-8 bytes in upper case, except the slashes of the path and the first `?`.
 *
 * @param kept A character that stays as it is
 */
function comparable(path: string, kept = ""): string {
  const at = path.indexOf("?");
  const [before, query] = at < 0 ? [path, undefined] : [path.slice(0, at), path.slice(at + 1)];
  return escaped(before, `/${kept}`) + (query === undefined ? "" : `?${escaped(query, kept)}`);
}

function escaped(text: string, kept: string): string {
  return text.toWellFormed().replace(/%[0-9a-fA-F]{2}|[^A-Za-z0-9\-._~]/gu, (found) => {
    if (found.length === 3 && found.startsWith("%")) {
      const char = String.fromCharCode(parseInt(found.slice(1), 16));
      return /[A-Za-z0-9\-._~]/.test(char) ? char : found.toUpperCase();
    }
    if (kept.includes(found)) return found;
    return /[!'()*]/.test(found)
      ? `%${found.charCodeAt(0).toString(16).toUpperCase()}`
      : encodeURIComponent(found);
  });
}

/**
 * Matches each part at its earliest position, in one pass: a regular expression could backtrack indefinitely.
 */
function matches({ parts, anchored }: Rule, path: string): boolean {
  const [first = "", ...rest] = parts;
  if (rest.length === 0) return anchored ? path === first : path.startsWith(first);
  if (!path.startsWith(first)) return false;
  const last = anchored ? rest.pop()! : "";
  let at = first.length;
  for (const part of rest) {
    const found = path.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return path.endsWith(last) && path.length - last.length >= at;
}

/** Directives of X-Robots-Tag that have a value after a colon. */
const WITH_VALUE: ReadonlySet<string> = new Set([
  "unavailable_after",
  "max-snippet",
  "max-image-preview",
  "max-video-preview",
]);

/**
 * The directives of an X-Robots-Tag header that are for this crawler, in lower case. A product token before a colon
 * limits the directives after it to that crawler, up to the next token.
 */
export function directivesFor(header: string, product: string = PRODUCT): string[] {
  let isOurs = true;
  return header.toLowerCase().split(",").flatMap((part) => {
    const [, token, rest] = /^\s*([a-z][\w-]*)\s*:([^]*)$/.exec(part) ?? [];
    if (token !== undefined && !WITH_VALUE.has(token)) isOurs = token === product.toLowerCase();
    return isOurs ? [(token === undefined || WITH_VALUE.has(token) ? part : rest!).trim()] : [];
  });
}
