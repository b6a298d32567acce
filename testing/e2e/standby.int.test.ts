/** A server with synchronous standbys, and one that is a standby itself: what is told, and what is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { tryLead } from '../../command-api/relay/leader.ts';
import { submission } from '../../contracts/prompt/spec.ts';
import { clusterOf, type RunningServer, startPostgres } from '../../deployment/local/servers/postgres.ts';
import { newId } from '../../platform/ids.ts';
import type { Append } from '../../platform/postgres/append.ts';
import { createAppender } from '../../platform/postgres/appender.ts';
import { applyMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { readHead, readStreamRows } from '../../platform/postgres/read.ts';
import { isRetryable, sqlState } from '../../platform/postgres/sqlstate.ts';
import { cleanup } from '../kit/cleanup.ts';
import { until } from '../kit/until.ts';

const t = cleanup(after);
const dataDir = mkdtempSync(join(tmpdir(), 'orchestrator-standby-'));
/** Of one test's own: both settings and roles are the whole server's. */
let server: RunningServer;
const start = () => startPostgres({ dataDir, settings: { fsync: 'off' } });
before(async () => {
  t.after(async () => rmSync(dataDir, { recursive: true, force: true }));
  server = await start();
  t.after(() => server.stop());
  await applyMigrations(server.uri, join(import.meta.dirname, '../../migrations'));
});

async function owner<R extends pg.QueryResultRow>(text: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: server.uri });
  await client.connect();
  try {
    return (await client.query<R>(text)).rows;
  } finally {
    await client.end();
  }
}

const append = (): Append => ({
  streamId: newId(),
  expectedVersion: 0,
  events: [
    {
      eventId: newId(),
      type: 'PromptSubmitted',
      data: submission,
      metadata: { correlationId: 'c', causationId: null, traceparent: null, actor: 'user:ada' },
    },
  ],
  outbox: { op: 'open', user: 'ada', model: 'm', lane: 1 },
});

describe('an append whose wait for a standby is broken off', () => {
  before(async () => {
    await owner(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
    await owner('SELECT pg_reload_conf()');
  });
  after(async () => {
    await owner('ALTER SYSTEM RESET synchronous_standby_names');
    await owner('SELECT pg_reload_conf()');
  });

  /** The commit that waits, unless it is `but`. */
  const waiting = (but: string | null = null) =>
    until('a commit waits for a standby', async () => {
      const rows = await owner<{ pid: number; began: string }>(
        `SELECT pid, xact_start::text AS began FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'waits'`,
      );
      return rows.find(({ began }) => began !== but);
    });

  for (const end of ['pg_cancel_backend', 'pg_terminate_backend']) {
    test(`(${end}) is not answered, and waits again`, async () => {
      const pool = createPool({ uri: server.uri, name: 'waits', max: 2, onError: () => {} });
      const appender = createAppender({ pool, queueLimit: 10 });
      const one = append();
      let answered = false;
      const answer = appender.append(one).finally(() => {
        answered = true;
      });
      const first = await waiting();
      await owner(`SELECT ${end}(${first.pid})`);
      await waiting(first.began);
      assert.equal(answered, false);
      assert.equal((await readStreamRows(pool, [one.streamId])).get(one.streamId)?.length, 1, 'it stands here');
      await owner(`ALTER SYSTEM SET synchronous_standby_names = ''`); // lets those go that wait
      await owner('SELECT pg_reload_conf()');
      assert.equal((await answer).status, 'duplicate');
      await owner(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
      await owner('SELECT pg_reload_conf()');
      await appender.stop();
      await pool.end();
    });
  }
});

test('where a primary is needed a standby is refused, also as a place to lead, until it is promoted', async () => {
  await server.stop();
  writeFileSync(join((await clusterOf(dataDir)).cluster, 'standby.signal'), '');
  server = await start();
  const reads = createPool({ uri: server.uri, name: 'reads', max: 1, onError: () => {} });
  const writes = createPool({ uri: server.uri, name: 'writes', max: 1, onError: () => {}, primary: true });
  const isRefused = (error: unknown) => sqlState(error) === '25006' && isRetryable(error);
  assert.ok((await readHead(reads)) > 0);
  await assert.rejects(readHead(writes), isRefused);
  await assert.rejects(tryLead(server.uri, 'leads'), isRefused);
  await owner('SELECT pg_promote()');
  assert.equal(await readHead(writes), await readHead(reads));
  const lead = await tryLead(server.uri, 'leads');
  assert.ok(lead);
  await Promise.all([lead.release(), reads.end(), writes.end()]);
});
