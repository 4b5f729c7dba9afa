// As much of CDDL (RFC 8610) as docs/protocol.cddl uses: rules, choices, literals, ranges, `.regexp`, arrays and maps with
// `?` and `*`. Read from the text, and held against values.

/** A float, where it is to be distinguished from an integer. */
export class Float {
  constructor(readonly value: number) {}
}

type Type =
  | { readonly is: "name"; readonly name: string }
  | { readonly is: "literal"; readonly value: number | string }
  | { readonly is: "range"; readonly from: number; readonly to: number }
  | { readonly is: "regexp"; readonly of: Type; readonly pattern: RegExp }
  | { readonly is: "choice"; readonly types: readonly Type[] }
  | { readonly is: "array" | "map"; readonly members: readonly Member[] };

interface Member {
  readonly least: 0 | 1;
  readonly many: boolean;
  readonly key: Type | undefined;
  readonly type: Type;
}

const TOKEN = /\s+|;[^\n]*|"[^"]*"|\d+\.\.\d+|\d+|\.regexp|=>|[a-zA-Z][\w-]*|[=/:,?*{}[\]]/y;

/** A grammar, by the names of its rules. */
export class Cddl {
  readonly #rules = new Map<string, Type>();
  #tokens: string[] = [];

  /** @throws {SyntaxError} If the text goes beyond what is read here */
  constructor(text: string) {
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.length) {
      const at = TOKEN.lastIndex;
      const token = TOKEN.exec(text)?.[0];
      if (token === undefined) throw new SyntaxError(`Cannot read CDDL at ${text.slice(at, at + 20)}`);
      if (!/^[\s;]/.test(token)) this.#tokens.push(token);
    }
    while (this.#tokens.length > 0) {
      const name = this.#take();
      this.#expect("=");
      if (this.#rules.has(name)) throw new SyntaxError(`Rule ${name} comes twice`);
      this.#rules.set(name, this.#type());
    }
  }

  /** The names of all rules. */
  get names(): string[] {
    return [...this.#rules.keys()];
  }

  /** Whether `value` is what the rule of that name describes. */
  matches(name: string, value: unknown): boolean {
    return this.#fits({ is: "name", name }, value);
  }

  #take(): string {
    const token = this.#tokens.shift();
    if (token === undefined) throw new SyntaxError("CDDL ends too early");
    return token;
  }

  #takeIf(token: string): boolean {
    if (this.#tokens[0] !== token) return false;
    this.#tokens.shift();
    return true;
  }

  #expect(token: string): void {
    const got = this.#take();
    if (got !== token) throw new SyntaxError(`Expected ${token} in CDDL, got ${got}`);
  }

  #type(): Type {
    const types = [this.#one()];
    while (this.#takeIf("/")) types.push(this.#one());
    return types.length === 1 ? types[0]! : { is: "choice", types };
  }

  #one(): Type {
    const token = this.#take();
    if (token === "[") return { is: "array", members: this.#members("]") };
    if (token === "{") return { is: "map", members: this.#members("}") };
    if (token.startsWith('"')) return { is: "literal", value: token.slice(1, -1) };
    const [from, to] = token.split("..").map(Number);
    if (to !== undefined) return { is: "range", from: from!, to };
    if (/^\d/.test(token)) return { is: "literal", value: from! };
    const named: Type = { is: "name", name: token };
    if (!this.#takeIf(".regexp")) return named;
    return { is: "regexp", of: named, pattern: new RegExp(`^(?:${this.#take().slice(1, -1)})$`) };
  }

  #members(end: string): Member[] {
    const members: Member[] = [];
    while (!this.#takeIf(end)) {
      const occurrence = this.#tokens[0] === "?" || this.#tokens[0] === "*" ? this.#take() : "";
      let type = this.#type();
      let key: Type | undefined;
      if (this.#takeIf(":")) {
        if (type.is !== "name") throw new SyntaxError("Expected a name before a colon in CDDL");
        key = { is: "literal", value: type.name };
        type = this.#type();
      } else if (this.#takeIf("=>")) {
        key = type;
        type = this.#type();
      }
      members.push({ least: occurrence === "" ? 1 : 0, many: occurrence === "*", key, type });
      if (!this.#takeIf(",") && this.#tokens[0] !== end) {
        throw new SyntaxError(`Expected , or ${end} in CDDL`);
      }
    }
    return members;
  }

  #fits(type: Type, value: unknown): boolean {
    switch (type.is) {
      case "literal":
        return value === type.value;
      case "range":
        return Number.isInteger(value) && (value as number) >= type.from && (value as number) <= type.to;
      case "choice":
        return type.types.some((each) => this.#fits(each, value));
      case "regexp":
        return this.#fits(type.of, value) && type.pattern.test(value as string);
      case "array":
        return Array.isArray(value) && this.#fitsArray(type.members, value);
      case "map":
        return value instanceof Map && this.#fitsMap(type.members, value);
      case "name":
        return this.#fitsName(type.name, value);
    }
  }

  #fitsName(name: string, value: unknown): boolean {
    const rule = this.#rules.get(name);
    if (rule !== undefined) return this.#fits(rule, value);
    if (name === "tstr") return typeof value === "string";
    if (name === "bstr") return value instanceof Uint8Array;
    if (name === "any") return true;
    throw new SyntaxError(`CDDL has no rule ${name}`);
  }

  /** In an array names of members mean nothing, and what may be missing is at the end. */
  #fitsArray(members: readonly Member[], value: readonly unknown[]): boolean {
    const least = members.filter(({ least }) => least === 1).length;
    return value.length >= least && value.length <= members.length &&
      value.every((each, i) => this.#fits(members[i]!.type, each));
  }

  /** A member that names its key decides about it alone: what follows with `=>` is for the other keys. */
  #fitsMap(members: readonly Member[], map: ReadonlyMap<unknown, unknown>): boolean {
    const named = members.filter(({ key }) => key?.is === "literal");
    const others = members.filter(({ key }) => key?.is !== "literal");
    const nameOf = ({ key }: Member) => key?.is === "literal" ? key.value : undefined;
    return named.every((member) =>
      map.has(nameOf(member)) ? this.#fits(member.type, map.get(nameOf(member))) : member.least === 0
    ) &&
      [...map].every(([key, value]) =>
        named.some((member) => nameOf(member) === key) ||
        others.some((member) => this.#fits(member.key!, key) && this.#fits(member.type, value))
      );
  }
}
