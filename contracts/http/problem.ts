import { type Static, Type } from '@sinclair/typebox';

/** RFC 9457 `application/problem+json`. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    code: Type.String(),
    requestId: Type.String(),
    /** The same request may succeed later. */
    retryable: Type.Boolean(),
    /** With 400, and of a query that names what there is not: every fault, as JSON pointers into the body, or `?name`. */
    errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), message: Type.String() }))),
  },
  { $id: 'Problem' },
);
export type Problem = Static<typeof Problem>;
