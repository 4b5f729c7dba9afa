// Values of another realm, such as a node:vm context, jsdom or an iframe, which `instanceof` does not recognize. Used by the
// codecs and by checks of options, after `instanceof` has failed.

const sizeOfMap = getter(Map.prototype, "size");
const sizeOfSet = getter(Set.prototype, "size");
const lengthOfBuffer = getter(ArrayBuffer.prototype, "byteLength");
const nameOfArray = getter(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);

function getter(prototype: object, name: string | symbol): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(prototype, name)!.get!;
}

/** Whether `value` has the internal slot that a built-in method requires, in any realm. */
function accepts(method: (this: unknown) => unknown, value: unknown): boolean {
  try {
    method.call(value);
    return true;
  } catch {
    return false;
  }
}

/** Whether `value` is an `ArrayBuffer`. */
export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return accepts(lengthOfBuffer, value);
}

/** The class name of a typed array, such as `Uint8Array`; undefined for any other value. */
export function typedArrayName(value: unknown): string | undefined {
  return nameOfArray.call(value) as string | undefined;
}

/** Whether the prototype of `value` is null or an `Object.prototype`. */
export function isPlainObject(value: object): boolean {
  const prototype: object | null = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || isObjectPrototype(prototype);
}

/** Whether `object` is the `Object.prototype` of another realm. */
function isObjectPrototype(object: object): boolean {
  if (Object.getPrototypeOf(object) !== null) return false;
  const constructor: unknown = Object.getOwnPropertyDescriptor(object, "constructor")?.value;
  return typeof constructor === "function" && constructor.prototype === object &&
    Function.prototype.toString.call(constructor) === Function.prototype.toString.call(Object);
}

/**
 * Converts a plain object, `Date`, `Map` or `Set` of another realm to one of this realm. Nested values are not converted.
 *
 * @returns undefined for any other value
 */
export function toThisRealm(value: object): object | undefined {
  if (isPlainObject(value)) return { ...value };
  if (accepts(Date.prototype.getTime, value)) return new Date(Date.prototype.getTime.call(value));
  if (accepts(sizeOfMap, value)) return new Map(Map.prototype.entries.call(value));
  if (accepts(sizeOfSet, value)) return new Set(Set.prototype.values.call(value));
  return undefined;
}
