// Ranges of IP addresses, such as 10.0.0.0/8. Used by servers to decide which connections come from a proxy.

/** An address as a number, of 32 or of 128 bits. */
interface Ip {
  readonly value: bigint;
  readonly bits: 32 | 128;
}

interface Range {
  readonly bits: 32 | 128;
  /** The number of low bits in which addresses of the range differ. */
  readonly shift: bigint;
  readonly prefix: bigint;
}

/** A list of ranges. */
export class IpRanges {
  readonly #ranges: readonly Range[];

  /**
   * @param ranges Addresses, such as `10.0.0.7` or `fd00::7`, and ranges, such as `10.0.0.0/8`
   * @throws {TypeError} If one is invalid, or there is none
   */
  constructor(ranges: readonly string[]) {
    if (!Array.isArray(ranges) || ranges.length === 0) {
      throw new TypeError("expected a list of addresses or ranges, such as 10.0.0.0/8");
    }
    this.#ranges = ranges.map(rangeOf);
  }

  /** Whether an IP address is in one of the ranges. An IPv4 address may be written as one of IPv6. */
  includes(hostname: string): boolean {
    const ip = ipOf(hostname);
    if (ip === undefined) return false;
    return this.#ranges.some(({ bits, shift, prefix }) => bits === ip.bits && ip.value >> shift === prefix);
  }
}

function rangeOf(text: string): Range {
  const [, address = "", length] = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const ip = ipOf(address);
  const bits = ip === undefined ? 0 : Number(length ?? ip.bits);
  if (ip === undefined || bits > ip.bits || address.startsWith("::ffff:")) {
    throw new TypeError(`expected an IP address or a range such as 10.0.0.0/8, got ${JSON.stringify(text)}`);
  }
  const shift = BigInt(ip.bits - bits);
  return { bits: ip.bits, shift, prefix: ip.value >> shift };
}

function ipOf(hostname: string): Ip | undefined {
  if (!hostname.includes(":")) {
    const parts = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(hostname) ? hostname.split(".").map(Number) : [];
    if (parts.length === 0 || parts.some((part) => part > 255)) return undefined;
    return { value: parts.reduce((value, part) => value << 8n | BigInt(part), 0n), bits: 32 };
  }
  const url = `http://[${hostname}]`;
  if (!URL.canParse(url)) return undefined;
  // Canonical, so that there is one way to write it.
  const [head = "", tail] = new URL(url).hostname.slice(1, -1).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  const value = groups.reduce((value, group) => value << 16n | BigInt(parseInt(group, 16)), 0n);
  return value >> 32n === 0xffffn ? { value: value & 0xffff_ffffn, bits: 32 } : { value, bits: 128 };
}
