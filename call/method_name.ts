// Method names for logs and messages. Peers may call any name, so a name can be long or contain line breaks.

/** Maximum length of a service name; longer names are cut for display. */
export const MAX_NAME_LENGTH = 64;

/** A name in quotes, cut if it is too long. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name);
}

/** A method's name for display; quoted if it is too long or unprintable, so that it cannot be a registered name. */
export function shownMethod(method: string): string {
  return method.length > 4 * MAX_NAME_LENGTH || /[\p{C}\p{Z}]/u.test(method) ? quoted(method) : method;
}
