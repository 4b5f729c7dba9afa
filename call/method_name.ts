// Names of methods as logs and messages show them. A peer can call whatever it likes, so that a name may be long, or not
// fit in one line.

/** The longest name of a service; longer ones are cut where they are shown. */
export const LONGEST_NAME = 64;

/** A name in quotes, cut if it is long. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);
}

/** The name of a method as it is, unless it is one that could not be registered: that in quotes. */
export function shownMethod(method: string): string {
  return method.length > 4 * LONGEST_NAME || /[\p{C}\p{Z}]/u.test(method) ? quoted(method) : method;
}
