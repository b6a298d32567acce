/**
 * Models may answer with U+0000 or lone surrogates, which Postgres cannot hold in `text` or `jsonb`.
 * Such an answer was paid for, so it is stored as its own JSON literal (`encoding: 'json'`) and read back
 * without loss; all others are stored as they are.
 */
export type StoredText = { text: string; encoding: 'plain' | 'json' };

export function encodeText(text: string): StoredText {
  // JSON.stringify writes lone surrogates and U+0000 as \uXXXX, so its result is always storable.
  return text.isWellFormed() && !text.includes('\u0000')
    ? { text, encoding: 'plain' }
    : { text: JSON.stringify(text), encoding: 'json' };
}

export function decodeText(stored: StoredText): string {
  return stored.encoding === 'json' ? (JSON.parse(stored.text) as string) : stored.text;
}
