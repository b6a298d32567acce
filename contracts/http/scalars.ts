/** The scalars that every body and query is made of. */
import { type TSchema, Type } from '@sinclair/typebox';

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const Uuid = Type.String({ format: 'uuid' });
/** RFC 3339. Answers are UTC with milliseconds; requests may use any offset. */
export const Time = Type.String({ format: 'date-time' });
export const Position = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Money: integer 10⁻⁹ USD, with the same amount as a decimal string. */
export const Amount = Type.Object({ nanoUsd: Type.Integer(), usd: Type.String() }, { $id: 'Amount' });
