// EncodeError: why a value cannot be encoded, and its path in the value. Thrown by the CBOR and JSON encoders while they walk a
// value; callers on the way out add the steps of the path.

const MAX_PATH = 200;
/** Deeper paths, which are mostly those of cyclic values, are cut to their first steps. */
const MAX_STEPS = 32;
const FIRST_STEPS = 3;

/** The error of a value that cannot be encoded. */
export class EncodeError extends TypeError {
  readonly #reason: string;
  readonly #steps: (string | number)[] = [];

  /** @param reason What is not supported, as the end of a sentence */
  constructor(reason: string) {
    super(`Cannot encode value: ${reason}`);
    this.#reason = reason;
  }

  /** The error for callers: a `TypeError` that names the path. */
  explain(format: string): TypeError {
    const steps = this.#steps.reverse();
    const deep = steps.length > MAX_STEPS;
    let path = (deep ? steps.slice(0, FIRST_STEPS) : steps).map(step).join("");
    if (path.length > MAX_PATH) path = `${path.slice(0, MAX_PATH)}…`;
    if (deep) path += `… (${steps.length} levels)`;
    const where = path === "" ? "" : ` at ${path}`;
    return new TypeError(`Cannot encode value${where} as ${format}: ${this.#reason}`);
  }

  /** Prepends a step to the path if `error` is an EncodeError; returns the error to throw. */
  static under(step: string | number, error: unknown): unknown {
    if (error instanceof EncodeError) error.#steps.push(step);
    return error;
  }
}

function step(key: string | number): string {
  if (typeof key === "number") return `[${key}]`;
  const plain = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
  return plain.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** The error of an object that is not plain; names its class if possible. */
export function unknownClass(value: object): EncodeError {
  const constructor: unknown = Object.getPrototypeOf(value)?.constructor;
  const name = typeof constructor === "function" && typeof constructor.name === "string"
    ? constructor.name
    : "";
  return new EncodeError(`instances of ${name || "an unnamed class"} are not supported`);
}
