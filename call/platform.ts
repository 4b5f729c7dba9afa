// Detects classes of the platform: of the language, the web, Deno, and the node: modules. The service table does not offer
// methods that are inherited from them.

/** Modules without extensible classes that print a warning or change the process when they are loaded. */
const SKIPPED = /^_|^(node:)?(domain|punycode|sys|test|test\/.*|trace_events|wasi)$/;
/** Whether modules that only exist with the node: prefix are experimental: Node warns when one is loaded. */
const WARNS_OF_EXPERIMENTAL = !("Deno" in globalThis);

type Exports = Readonly<Record<string, unknown>>;

/**
 * An object and the prototypes of its classes, without the platform's.
 *
 * Recognizing the classes of node: modules requires loading all modules, which takes tens of ms the first time. It is done
 * only for classes that extend another class.
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

/** The prototypes of all classes that node: modules export, and of the classes that these extend. */
function modulePrototypes(): Set<object> {
  const found = new Set<object>();
  for (const name of moduleOf("node:module").builtinModules as string[] | undefined ?? []) {
    if (SKIPPED.test(name) || WARNS_OF_EXPERIMENTAL && name.startsWith("node:")) continue;
    const module = moduleOf(name.startsWith("node:") ? name : `node:${name}`);
    for (const key of Object.getOwnPropertyNames(module)) addChain(found, classOf(module, key));
  }
  return found;
}

/** The exports of a node: module; empty if it cannot be loaded, since no class can then extend one of its classes. */
function moduleOf(name: string): Exports {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Exports | undefined } };
  try {
    return process?.getBuiltinModule?.(name) ?? {};
  } catch {
    return {};
  }
}

/**
 * The value of a property that may be a class. Some classes are created by a getter on first use; getters of other names are
 * not called, since some print warnings.
 */
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
