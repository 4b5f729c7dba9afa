// Stands in for jsr:@std/async where only npm can be reached (see CONTRIBUTING.md, Dependencies).
// @ts-types="./types.d.ts"
export { delay } from "npm:deno-std@1.4.0/async/delay.js";
// @ts-types="./types.d.ts"
export { deadline } from "npm:deno-std@1.4.0/async/deadline.js";
