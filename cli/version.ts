// Which version this is. A test holds it against deno.json, which the program could only read with a permission.

/** The version of the package. */
export const VERSION = "0.1.0";
