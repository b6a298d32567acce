/** API keys: made once, shown once, kept as a hash. */
import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { newId } from '../ids.ts';
import { ANSWER_WITHIN_MS, within } from '../within.ts';

export type Role = 'user' | 'admin';
export type KeyHolder = { userId: string; role: Role; keyId: string };
export type KeyRecord = KeyHolder & {
  name: string;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
};

type Db = Pick<pg.Pool | pg.Client, 'query'>;

/** The prefix lets secret scanners find a leaked key. */
const PREFIX = 'po_';
const SHAPE = /^po_[A-Za-z0-9_-]{43}$/;
const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

const HOLDER = `SELECT key_id, user_id, role FROM api_key
 WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())`;

/** Of a user's name: it stands in keys of indexes, and a filter of the API takes as many. */
export const LONGEST_USER_ID = 256;

/**
 * `expiresAt`: RFC 3339. Returns the key itself, which exists nowhere else. Throws a `RangeError` when the user's name is empty
 * or longer than `LONGEST_USER_ID` characters.
 */
export async function createKey(
  db: Db,
  spec: { userId: string; role: Role; name: string; expiresAt: string | null },
): Promise<{ key: string; keyId: string }> {
  const { length } = [...spec.userId];
  if (length === 0 || length > LONGEST_USER_ID)
    throw new RangeError(`a user's name has 1 to ${LONGEST_USER_ID} characters, not ${length}`);
  const key = PREFIX + randomBytes(32).toString('base64url');
  const keyId = newId();
  await db.query(
    'INSERT INTO api_key (key_id, user_id, role, name, hash, expires_at) VALUES ($1, $2, $3, $4, $5, $6)',
    [keyId, spec.userId, spec.role, spec.name, hashOf(key), spec.expiresAt],
  );
  return { key, keyId };
}

export async function listKeys(db: Db): Promise<KeyRecord[]> {
  const { rows } = await db.query<KeyRecord>(
    `SELECT key_id AS "keyId", user_id AS "userId", role, name, created_at AS "createdAt", expires_at AS "expiresAt",
            revoked_at AS "revokedAt" FROM api_key ORDER BY created_at`,
  );
  return rows;
}

/** False when there is no such key, or it was revoked before. */
export async function revokeKey(db: Db, keyId: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'UPDATE api_key SET revoked_at = clock_timestamp() WHERE key_id = $1 AND revoked_at IS NULL',
    [keyId],
  );
  return rowCount === 1;
}

export type VerifyKey = (key: string) => Promise<KeyHolder | null>;

/**
 * Looks keys up by hash, so there is nothing to compare in constant time. An answer is kept for `ttlMs`: that long a
 * revoked key may still be taken. Unknown keys are not kept, lest made-up ones push the real ones out. Rejects when the
 * database does not tell in time: a caller must not take a credential for bad that nobody looked at.
 */
export function createKeyVerifier(db: Db, ttlMs = 5_000): VerifyKey {
  const known = new LRUCache<string, KeyHolder>({ max: 10_000, ttl: ttlMs });
  return async (key) => {
    if (!SHAPE.test(key)) return null;
    const hash = hashOf(key);
    const id = hash.toString('base64');
    const cached = known.get(id);
    if (cached) return cached;
    type Row = { key_id: string; user_id: string; role: Role };
    const { rows } = await within(
      ANSWER_WITHIN_MS,
      db.query<Row>({ name: 'key-holder', text: HOLDER, values: [hash] }),
    );
    const [row] = rows;
    if (!row) return null;
    const holder: KeyHolder = { userId: row.user_id, role: row.role, keyId: row.key_id };
    known.set(id, holder);
    return holder;
  };
}
