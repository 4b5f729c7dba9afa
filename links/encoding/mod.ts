// Stands in for jsr:@std/encoding where only npm can be reached (see CONTRIBUTING.md, Dependencies).
// @ts-types="./types.d.ts"
export { decodeHex, encodeHex } from "npm:deno-std@1.4.0/encoding/hex.js";
// @ts-types="./types.d.ts"
export { decodeBase64, encodeBase64 } from "npm:deno-std@1.4.0/encoding/base64.js";
