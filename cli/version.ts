// The version of the package. A test compares it with deno.json, which the program could read only with a
// permission.

/** The version of the package. */
export const VERSION = "0.1.0";
