// Converts bytes to hexadecimal text and back, for integers beyond 64 bits and for map keys. Called by the CBOR encoder and
// decoder. Recent engines have native methods (Deno, Chrome 140, Node 25), which are faster.

type WithHex = Uint8Array & { toHex?(): string };
const native: typeof Uint8Array & { fromHex?(text: string): Uint8Array<ArrayBuffer> } = Uint8Array;

/** The bytes as hexadecimal text, two digits each. */
export function toHex(bytes: Uint8Array): string {
  const own = (bytes as WithHex).toHex?.();
  if (own !== undefined) return own;
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** The bytes of a hexadecimal text with an even number of digits. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const own = native.fromHex?.(text);
  if (own !== undefined) return own;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
