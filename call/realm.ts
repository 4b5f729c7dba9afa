// Values of another realm, such as a node:vm context, jsdom or an iframe: their classes are not those of this realm, so
// `instanceof` does not know them. Asked only after `instanceof` has failed, by the codecs and where options are checked.

const sizeOfMap = getter(Map.prototype, "size");
const sizeOfSet = getter(Set.prototype, "size");
const lengthOfBuffer = getter(ArrayBuffer.prototype, "byteLength");
const nameOfArray = getter(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);

function getter(prototype: object, name: string | symbol): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(prototype, name)!.get!;
}

/** Whether a method of the language takes `value`, which its classes check by an internal slot, whatever the realm. */
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

/** The class of a typed array, such as `Uint8Array`; undefined for everything else. */
export function typedArrayName(value: unknown): string | undefined {
  return nameOfArray.call(value) as string | undefined;
}

/** Whether `value` has an `Object.prototype` as its prototype, or none. */
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
 * A value of this realm in place of one of another: a plain object, `Date`, `Map` or `Set`. What lies within is left as
 * it is.
 *
 * @returns undefined if it is none of these
 */
export function ofThisRealm(value: object): object | undefined {
  if (isPlainObject(value)) return { ...value };
  if (accepts(Date.prototype.getTime, value)) return new Date(Date.prototype.getTime.call(value));
  if (accepts(sizeOfMap, value)) return new Map(Map.prototype.entries.call(value));
  if (accepts(sizeOfSet, value)) return new Set(Set.prototype.values.call(value));
  return undefined;
}
