/**
 * Open connections and the keys they came with. A key revoked or expired ends its connections within seconds,
 * at the price of one query for all of them.
 */
import type pg from 'pg';
import { readSql } from '../../platform/postgres/sql-file.ts';

export type Sessions = {
  /** `end` is called at most once, when the key is no longer good. Returns the removal. */
  add: (keyId: string, end: () => void) => () => void;
  /** Asks which keys are still good. Rejects when the database does not tell; nobody is put out for that. */
  check: () => Promise<void>;
};

const ACTIVE_KEYS = readSql(import.meta.url, '../sql/active-keys.sql');

export function createSessions(primary: Pick<pg.Pool, 'query'>): Sessions {
  const open = new Map<string, Set<() => void>>();
  return {
    add: (keyId, end) => {
      const ends = open.get(keyId) ?? new Set();
      open.set(keyId, ends.add(end));
      return () => {
        ends.delete(end);
        if (ends.size === 0 && open.get(keyId) === ends) open.delete(keyId);
      };
    },
    check: async () => {
      const asked = [...open.keys()];
      if (asked.length === 0) return;
      const { rows } = await primary.query<{ key_id: string }>({ text: ACTIVE_KEYS, values: [asked] });
      const active = new Set(rows.map((row) => row.key_id));
      for (const keyId of asked) {
        if (active.has(keyId)) continue;
        const ends = open.get(keyId);
        open.delete(keyId);
        for (const end of ends ?? []) end();
      }
    },
  };
}
