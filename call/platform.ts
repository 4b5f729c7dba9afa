// Which classes are the platform's: those of the language, of the web, of Deno, and of the node: modules. Asked by the
// service table, since what a service inherits from them is not for callers.

/** Modules that have no classes to extend and warn, or change the process, when they are loaded. */
const LEFT_ALONE = /^_|^(node:)?(domain|punycode|sys|test|test\/.*|trace_events|wasi)$/;
/** Where modules that only exist with the prefix are experimental: Node warns when it loads one. */
const WARNS_OF_NEW = !("Deno" in globalThis);

type Exports = Readonly<Record<string, unknown>>;

/**
 * An object and the prototypes of its classes, without the platform's.
 *
 * Whether a class is one of a node: module shows only by a look at all of them, which costs tens of ms the first time: it
 * is taken only for classes that extend another.
 */
export function ownLevels(target: object): object[] {
  const levels: object[] = [];
  let level: object | null = target;
  for (; level !== null && !isBuiltIn(level); level = Object.getPrototypeOf(level)) levels.push(level);
  if (levels.length <= 2) return levels;
  const prototypes = modulePrototypes();
  const first = levels.findIndex((each) => prototypes.has(each));
  return first < 0 ? levels : levels.slice(0, first);
}

/** Whether `level` is the prototype of a class of the language, the web or Deno. */
function isBuiltIn(level: object): boolean {
  const constructor: unknown = Object.getOwnPropertyDescriptor(level, "constructor")?.value;
  if (typeof constructor !== "function" || constructor.prototype !== level) return false;
  const { Deno: deno = {} } = globalThis as { Deno?: object };
  return [globalThis, deno].some((holder) => classOf(holder, constructor.name) === constructor) ||
    Function.prototype.toString.call(constructor).endsWith("{ [native code] }");
}

/** The prototypes of all classes that node: modules export, and of those that they extend. */
function modulePrototypes(): Set<object> {
  const found = new Set<object>();
  for (const name of moduleOf("node:module").builtinModules as string[] | undefined ?? []) {
    if (LEFT_ALONE.test(name) || WARNS_OF_NEW && name.startsWith("node:")) continue;
    const module = moduleOf(name.startsWith("node:") ? name : `node:${name}`);
    for (const key of Object.getOwnPropertyNames(module)) addChain(found, classOf(module, key));
  }
  return found;
}

/** A node: module; empty where it cannot be loaded, since nothing can then extend its classes. */
function moduleOf(name: string): Exports {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Exports | undefined } };
  try {
    return process?.getBuiltinModule?.(name) ?? {};
  } catch {
    return {};
  }
}

/** A property that may be a class: some classes are made by getters, when they are first used; other getters may warn. */
function classOf(holder: object, key: string): unknown {
  const property = Object.getOwnPropertyDescriptor(holder, key);
  if (property?.get === undefined || !/^[A-Z]\w*[a-z]/.test(key)) return property?.value;
  try {
    return property.get.call(holder);
  } catch {
    return undefined;
  }
}

function addChain(found: Set<object>, value: unknown): void {
  if (typeof value !== "function") return;
  let level: unknown = value.prototype;
  while (typeof level === "object" && level !== null && level !== Object.prototype && !found.has(level)) {
    found.add(level);
    level = Object.getPrototypeOf(level);
  }
}
