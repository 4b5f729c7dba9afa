// Why a value cannot be encoded, and where in the value that is. Thrown while walking a value by the CBOR and
// JSON encoders, which on the way out add the steps that lead to it.

const LONGEST_PATH = 200;

/** A value that cannot be carried. */
export class Refusal extends TypeError {
  readonly #reason: string;
  readonly #steps: (string | number)[] = [];

  /** @param reason What cannot be carried, as the end of a sentence */
  constructor(reason: string) {
    super(`Cannot encode value: ${reason}`);
    this.#reason = reason;
  }

  /** The same failure as seen by callers: a `TypeError` that names the path. */
  explain(format: string): TypeError {
    let path = this.#steps.reverse().map(step).join("");
    if (path.length > LONGEST_PATH) path = `${path.slice(0, LONGEST_PATH)}…`;
    const where = path === "" ? "" : ` at ${path}`;
    return new TypeError(`Cannot encode value${where} as ${format}: ${this.#reason}`);
  }

  /** Adds the step that led to the failing value, if `error` is a refusal; returns what to throw. */
  static under(step: string | number, error: unknown): unknown {
    if (error instanceof Refusal) error.#steps.push(step);
    return error;
  }
}

function step(key: string | number): string {
  if (typeof key === "number") return `[${key}]`;
  const plain = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
  return plain.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** Says for an object that is no plain one what it is, as far as that can be told. */
export function unknownClass(value: object): Refusal {
  const constructor: unknown = Object.getPrototypeOf(value)?.constructor;
  const name = typeof constructor === "function" && typeof constructor.name === "string"
    ? constructor.name
    : "";
  return new Refusal(`instances of ${name || "an unnamed class"} cannot be carried`);
}
