/** The parts of the database's address, with a server that takes them at their word. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import pg from 'pg';
import { cleanup } from '../../testing/kit/cleanup.ts';
import { createTestDatabase } from '../../testing/kit/database.ts';
import { loadConfig } from './load.ts';

const t = cleanup(after);

const names = [
  { user: 'plain', password: 'plain', name: 'plain' },
  { user: 'us er@host', password: 'p@ss:w/o#r?d&x=1%41 +', name: 'da ta-base.1' },
  { user: 'reader', password: 'plain', name: 'a/b&c;d+e=f' },
  { user: 'ünï', password: 'schlüssel “”\\$\'"', name: '100%' },
];

for (const { user, password, name } of names) {
  test(`user ${user} with password ${password} comes into database ${name}`, async () => {
    const { uri, pool } = await createTestDatabase(t);
    const quote = pg.escapeIdentifier;
    await pool.query(`CREATE ROLE ${quote(user)} LOGIN PASSWORD ${pg.escapeLiteral(password)}`);
    await pool.query(`CREATE DATABASE ${quote(name)}`);
    const { hostname, port } = new URL(uri);
    try {
      const { POSTGRES_URI } = loadConfig('worker', {
        POSTGRES_USER: user,
        POSTGRES_PASSWORD: password,
        POSTGRES_HOST: hostname,
        POSTGRES_PORT: port,
        POSTGRES_NAME: name,
        REDIS_URI: 'r:1',
      });
      const client = new pg.Client({ connectionString: POSTGRES_URI! });
      await client.connect();
      try {
        const { rows } = await client.query('SELECT current_user AS user, current_database() AS name');
        assert.deepEqual(rows, [{ user, name }]);
      } finally {
        await client.end();
      }
    } finally {
      await pool.query(`DROP DATABASE ${quote(name)} WITH (FORCE)`);
      await pool.query(`DROP ROLE ${quote(user)}`);
    }
  });
}
