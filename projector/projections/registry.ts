/** The projections of this build, by name. */
import type { Projection } from '../projection.ts';
import { promptsProjection } from './prompts/projection.ts';

type Known = Projection<unknown, unknown>;

/** Each has states and rows of its own kind; they only ever travel from one of its functions to another. */
export const projections: ReadonlyMap<string, Known> = new Map(
  [promptsProjection].map((projection) => [projection.name, projection as unknown as Known]),
);
