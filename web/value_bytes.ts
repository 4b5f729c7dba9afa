// Encodes JSON as a google.protobuf.Value, in which clients of the Connect protocol read the details of errors.
// https://protobuf.dev/reference/protobuf/google.protobuf/#value, https://protobuf.dev/programming-guides/encoding/

const VARINT = 0;
const DOUBLE = 1;
const LENGTH = 2;

const NULL = 1;
const NUMBER = 2;
const TEXT = 3;
const BOOL = 4;
const STRUCT = 5;
const LIST = 6;

const encoder = new TextEncoder();

/** The bytes of a JSON value. What `JSON.stringify` leaves out is left out here. */
export function valueBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytesOf(value));
}

function bytesOf(value: unknown): number[] {
  if (value === null) return [NULL << 3 | VARINT, 0];
  if (typeof value === "boolean") return [BOOL << 3 | VARINT, Number(value)];
  if (typeof value === "number") {
    const double = new DataView(new ArrayBuffer(8));
    double.setFloat64(0, value, true);
    return [NUMBER << 3 | DOUBLE, ...new Uint8Array(double.buffer)];
  }
  if (typeof value === "string") return field(TEXT, encoder.encode(value));
  if (Array.isArray(value)) return field(LIST, value.map((item) => field(1, bytesOf(item))).flat());
  const entries = Object.entries(value as object).filter(([, item]) => item !== undefined);
  return field(STRUCT, entries.map(([key, item]) => field(1, entry(key, item))).flat());
}

/** An entry of a map: its key is field 1, its value field 2. */
function entry(key: string, value: unknown): number[] {
  return field(1, encoder.encode(key)).concat(field(2, bytesOf(value)));
}

function field(number: number, bytes: ArrayLike<number>): number[] {
  return [number << 3 | LENGTH, ...varint(bytes.length)].concat(Array.from(bytes));
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push(value & 0x7f | 0x80);
  return [...bytes, value];
}
