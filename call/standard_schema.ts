// Standard Schema (https://standardschema.dev), version 1: the interface that zod, valibot, arktype and others share, as far
// as contracts need it. Types only, so schemas of any library fit without depending on this one.

/**
 * A schema of any library that follows Standard Schema, such as zod, valibot or arktype.
 *
 * @typeParam Input The values it accepts
 * @typeParam Output The values it returns
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** The members that the standard defines, under a name that sorts last. */
  readonly "~standard": StandardSchemaProps<Input, Output>;
}

/** The members of a {@linkcode StandardSchema}. */
export interface StandardSchemaProps<Input = unknown, Output = Input> {
  /** The version of the standard. */
  readonly version: 1;
  /** The library that made the schema. */
  readonly vendor: string;
  /** Validates a value and returns its output or the issues. */
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  /** The types, for the compiler only. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** The result of a validation: the output value, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One problem with a value. */
export interface StandardIssue {
  /** Text for people. */
  readonly message: string;
  /** Path to the invalid part of the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
