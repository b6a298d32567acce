import { type Static, Type } from '@sinclair/typebox';

const Tokens = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Token counts of one call. `inputTokens` includes `cachedInputTokens`; `outputTokens` excludes `thoughtTokens`. */
export const Usage = Type.Object(
  {
    inputTokens: Tokens,
    cachedInputTokens: Tokens,
    outputTokens: Tokens,
    thoughtTokens: Tokens,
    totalTokens: Tokens,
  },
  { $id: 'Usage', additionalProperties: false },
);
export type Usage = Static<typeof Usage>;
