// Standard Schema (https://standardschema.dev), version 1: what zod, valibot, arktype and others have in common, as much
// of it as contracts need. Only types: any library's schemas fit without knowing of this one.

/**
 * A schema of any library that follows Standard Schema, such as zod, valibot or arktype.
 *
 * @typeParam Input What it takes
 * @typeParam Output What it makes of that
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the standard asks for, under a name that sorts last. */
  readonly "~standard": StandardSchemaProps<Input, Output>;
}

/** What a {@linkcode StandardSchema} offers. */
export interface StandardSchemaProps<Input = unknown, Output = Input> {
  /** The version of the standard. */
  readonly version: 1;
  /** The library that made the schema. */
  readonly vendor: string;
  /** Looks at a value and says what it makes of it. */
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  /** For the compiler only. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** What a schema says of a value: what it has made of it, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong with a value. */
export interface StandardIssue {
  /** For people. */
  readonly message: string;
  /** Where in the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
