/** What is waited for when a process starts, and what is not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type pg from 'pg';
import { SCHEMA_VERSION } from '../../contracts/schema-version.ts';
import { awaitSchema } from './await-schema.ts';

const fault = (code: string, message: string) => Object.assign(new Error(message), { code });

/** Fails with these one after the other, then has the schema of this build. */
function failing(errors: Error[]): Pick<pg.Pool, 'query'> & { asked: () => number } {
  let asked = 0;
  const query = async () => {
    const error = errors[asked];
    asked += 1;
    if (error) throw error;
    return { rows: [{ version: SCHEMA_VERSION }] };
  };
  return { query: query as unknown as pg.Pool['query'], asked: () => asked };
}

describe('Postgres', () => {
  test('is waited for while it is away, starts up, or has no connection to give', async () => {
    const pool = failing([
      fault('ECONNREFUSED', 'connect ECONNREFUSED'),
      fault('57P03', 'the database system is starting up'),
      fault('53300', 'sorry, too many clients already'),
    ]);
    const told: unknown[] = [];
    await awaitSchema(pool, (error) => told.push((error as Error).message), 0);
    assert.equal(pool.asked(), 4);
    assert.deepEqual(told, ['connect ECONNREFUSED']);
  });

  const refusals = [
    fault('28P01', 'password authentication failed for user "ada"'),
    fault('28000', 'role "ada" does not exist'),
    fault('3D000', 'database "n" does not exist'),
    new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
  ];
  for (const refusal of refusals) {
    test(`is asked once when it says: ${refusal.message}`, async () => {
      const pool = failing([fault('57P03', 'the database system is starting up'), refusal]);
      const refused = {
        name: 'Error',
        code: 'login_refused',
        message: /^PostgreSQL refuses the login of POSTGRES_URI: .*\.$/,
      };
      await assert.rejects(
        awaitSchema(pool, () => {}, 0),
        refused,
      );
      assert.equal(pool.asked(), 2);
    });
  }

  test('that never comes is given up after a minute of looks', async () => {
    const away = fault('ECONNREFUSED', 'connect ECONNREFUSED');
    await assert.rejects(
      awaitSchema(failing(Array.from({ length: 100 }, () => away)), () => {}, 0),
      away,
    );
  });
});
