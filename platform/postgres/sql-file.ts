import { readFileSync } from 'node:fs';

/** Text of an SQL file beside its caller: `readSql(import.meta.url, 'sql/read-all.sql')`. Read once, at load. */
export const readSql = (base: string, path: string): string => readFileSync(new URL(path, base), 'utf8');
