/** Things go wrong, each on purpose, and the metric that tells of it must say so. */
import { fieldsOf } from '../../platform/redis/info-fields.ts';
import { subscribe } from '../kit/feed.ts';
import { until } from '../kit/until.ts';
import { REFUSED } from './load.ts';
import { reaches, type Scene } from './scene.ts';

const MODEL = 'gemini-2.5-flash';
const ANSWER_MS = 10_000;
const positive = (value: number): boolean => value > 0;

/** In this order: what is broken stays so no longer than its check takes, but for the sum and the worker. */
export async function makeHappen(scene: Scene): Promise<void> {
  await spoilSum(scene);
  await reaches(
    scene,
    'a model was parked',
    `sum(model_parkings_total{model="${REFUSED}", reason="daily_quota"})`,
    positive,
  );
  await loseEntry(scene);
  await killWorker(scene);
  await wipeRedis(scene);
  await listenToNothing(scene);
  await holdLog(scene);
  await holdReads(scene);
  await askNobody(scene);
  await stopRedis(scene);
  await reaches(scene, 'a sum that was changed is found', 'ledger_sums_differing', positive, 20_000);
  await reaches(scene, 'by how much too', 'ledger_mismatch_nano_usd', (value) => value >= 7);
  const firing = 'ALERTS{alertname="LedgerMismatch", alertstate="firing", application="prompt-orchestrator"}';
  await reaches(scene, 'and the alert fires', firing, (value) => value === 1);
}

async function spoilSum({ system }: Scene): Promise<void> {
  const { rows } = await system.database.query<{ version: number }>(
    "SELECT version FROM live_projection WHERE name = 'prompts'",
  );
  const table = `usage_v${rows[0]!.version}`;
  await system.database.query(
    `UPDATE ${table} SET wasted_nano_usd = wasted_nano_usd + 7
      WHERE (level, user_id, model, emulated) = (SELECT level, user_id, model, emulated FROM ${table} WHERE level = 5 LIMIT 1)`,
  );
}

/** Deleted before anybody was given it: Redis cannot tell the lag any more, and the sweeper finds the prompt. */
async function loseEntry(scene: Scene): Promise<void> {
  const { redis, users, workers } = scene.system;
  const [{ commands, queries }] = users as [(typeof users)[number]];
  for (const worker of workers) worker.kill('SIGSTOP');
  try {
    const blocks = /\bname=\S*-tasks\b.*\bflags=\w*b/m;
    await until('no worker waits for an entry', async () => !blocks.test(String(await redis.client('LIST'))));
    const entryOf = (id: string) =>
      until('its entry is there', async () => {
        const entries = await redis.xrevrange('tasks', '+', '-');
        return entries.find(([, fields]) => fields.includes(id))?.[0];
      });
    // More than the relay lets lie in the stream.
    const many = Array.from({ length: 40 }, () => commands.ask({ prompt: 'has time', model: MODEL, lane: 'batch' }));
    const [waiting] = await Promise.all(many);
    await reaches(scene, 'prompts wait', 'max(outbox_oldest_seconds{state="waiting", lane="batch"})', positive);
    const before = await commands.ask({ prompt: 'its entry lies before', model: MODEL });
    await entryOf(before.id);
    const { id } = await commands.ask({ prompt: 'its entry gets lost', model: MODEL });
    await redis.xdel('tasks', await entryOf(id));
    const [group] = (await redis.call('XINFO', 'GROUPS', 'tasks')) as unknown[];
    scene.expect('Redis cannot tell the lag any more', !fieldsOf(group).has('lag'));
    const again = 'increase(sweeper_dispatched_again_total[30s])';
    await reaches(scene, 'a prompt whose entry was lost is dispatched again', again, positive);
    const lag = 'redis_stream_lag{stream="tasks"}';
    await reaches(scene, 'the lag of its stream is told all the same', lag, positive);
    for (const worker of workers) worker.kill('SIGCONT');
    const { status } = await queries.prompt(id, { wait: ANSWER_MS / 1000 });
    scene.expect('the prompt is answered', status === 'completed', status);
    await queries.prompt(waiting!.id, { wait: ANSWER_MS / 1000 });
  } finally {
    for (const worker of workers) worker.kill('SIGCONT');
  }
}

async function killWorker(scene: Scene): Promise<void> {
  const { billing, database, users, workers } = scene.system;
  const [{ commands, queries }] = users as [(typeof users)[number]];
  const { id } = await commands.ask({ prompt: 'hangs [[emulate {"faults":["hang","ok"]}]]', model: MODEL });
  const claimedBy = await until('it is claimed', async () => {
    const started = "SELECT data ->> 'worker' AS worker FROM event WHERE stream_id = $1 AND type = 'AttemptStarted'";
    return (await database.query<{ worker: string }>(started, [id])).rows[0]?.worker;
  });
  await until('its call hangs', () => billing.entries().some(({ attemptId }) => attemptId === `${id}/1`));
  const victim = workers.find(({ pid }) => claimedBy.includes(`-${pid}-`));
  if (!victim) throw new Error(`no worker is ${claimedBy}`);
  await victim.end('SIGKILL');
  await reaches(scene, 'an attempt lost its worker', 'increase(sweeper_lost_attempts_total[30s])', positive, 15_000);
  const code = 'increase(attempt_failures_total{code="lease_lost"}[30s])';
  await reaches(scene, 'it is among the failures', `sum(${code})`, positive);
  const { status } = await queries.prompt(id, { wait: ANSWER_MS / 1000 });
  scene.expect('another worker answers', status === 'completed', status);
  const bound = 'sum(increase(cost_nano_usd_total{account="unknown", job="command-api"}[1m]))';
  await reaches(scene, 'what it can have cost is counted', bound, positive);
}

async function wipeRedis(scene: Scene): Promise<void> {
  const before = await scene.prometheus.value('sum(relay_resyncs_total)');
  await scene.system.redis.flushdb();
  await reaches(scene, 'a Redis that was wiped is noticed', 'sum(relay_resyncs_total)', (value) => value > before);
}

async function listenToNothing(scene: Scene): Promise<void> {
  const { services, users } = scene.system;
  const [{ key, commands }] = users as [(typeof users)[number]];
  const address = `http://127.0.0.1:${services['query-api'].port}`;
  const slow = await subscribe(address, key);
  slow.socket.pause();
  try {
    const notBefore = new Date(Date.now() + 3_600_000).toISOString();
    // Three bytes each, as much as a prompt may have: until the buffers of both systems are full.
    const prompt = '海'.repeat(100_000);
    const stalled = async () => (await scene.prometheus.value('live_stalled_subscribers')) > 0;
    for (let asked = 0; asked < 80 && !(await stalled()); asked += 1)
      await commands.ask({ prompt, model: MODEL, notBefore });
    await reaches(scene, 'a subscriber that takes nothing is stalled', 'live_stalled_subscribers', positive);
    for (const metric of ['live_backlog_bytes', 'live_backlog_most_bytes'])
      await reaches(scene, 'what waits for it is told', metric, (value) => value > 1_000_000);
  } finally {
    slow.socket.terminate();
  }
  // Of a log that this one is not: it is told to read the state.
  const lost = await subscribe(address, key, { after: 1_000_000_000 });
  await reaches(scene, 'a subscriber that is lost is told so', 'increase(live_resyncs_total[30s])', positive);
  lost.close();
}

/** Nobody can append for some seconds: asks are refused, some of them through the gateway. */
async function holdLog(scene: Scene): Promise<void> {
  const { database, gateway, services, users } = scene.system;
  const [{ key }] = users as [(typeof users)[number]];
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const ask = async (address: string) =>
    (await fetch(`${address}/ask`, { method: 'POST', headers, body: '{"prompt":"not now"}' })).status;
  const direct = `http://127.0.0.1:${services['command-api'].port}`;
  const holder = await database.connect();
  const statuses: Promise<number>[] = [];
  try {
    await holder.query('BEGIN');
    await holder.query('SELECT pg_advisory_xact_lock(7301)');
    // Until more came than the first ones, whose rate nobody sees.
    const errors = 'max(service:http_errors:ratio5m)';
    let value = Number.NaN;
    const seen = await until(
      'asks are refused, and seen to be',
      async () => {
        statuses.push(ask(statuses.length % 2 ? gateway : direct));
        await new Promise((resolve) => setTimeout(resolve, 150));
        value = await scene.prometheus.value(errors);
        return value > 0;
      },
      20_000,
    ).catch(() => false);
    scene.expect('asks that cannot be stored are errors', seen, `${errors} is ${value}`);
    await reaches(scene, 'appends wait', 'max_over_time(append_queue{job="command-api"}[20s])', positive);
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
  }
  const all = await Promise.all(statuses);
  scene.expect('those are answers of the service', all.includes(503), all.join(' '));
  const passed = 'haproxy_server_http_responses_total{proxy="command-api", code="5xx"}';
  await reaches(scene, 'the gateway passed them on', `sum(${passed})`, positive);
  const own = 'gateway:http_unanswered:ratio5m{proxy="command-api"}';
  await reaches(scene, 'and does not count them as its own', own, (value) => value === 0);
}

/** Readers wait for a table, then for connections. */
async function holdReads(scene: Scene): Promise<void> {
  const { database, users } = scene.system;
  const { rows } = await database.query<{ version: number }>(
    "SELECT version FROM live_projection WHERE name = 'prompts'",
  );
  const [{ queries }] = users as [(typeof users)[number]];
  const holder = await database.connect();
  const reads: Promise<unknown>[] = [];
  try {
    await holder.query('BEGIN');
    await holder.query(`LOCK TABLE prompt_v${rows[0]!.version}`);
    for (let i = 0; i < 20; i += 1) reads.push(queries.prompts({ limit: 1 + i }));
    const at = 'job="query-api", pool="query-api"';
    const waiting = `db_client_connection_pending_requests{${at}}`;
    await reaches(scene, 'readers wait for a connection', waiting, positive, 4_000);
    const used = `max_over_time(db_client_connection_count{${at}, state="used"}[10s]) / on () db_client_connection_max{${at}}`;
    await reaches(scene, 'since all are in use', used, (value) => value === 1, 4_000);
  } finally {
    await holder.query('ROLLBACK');
    holder.release();
  }
  await Promise.allSettled(reads); // those that waited too long were told so
}

/** The gateway has no query-api behind it. */
async function askNobody(scene: Scene): Promise<void> {
  const own = 'gateway:http_unanswered:ratio5m{proxy="query-api"}';
  const ask = async () => {
    const { status } = await fetch(`${scene.system.gateway}/prompts`);
    return status === 503 && (await scene.prometheus.value(own)) === 1;
  };
  const told = await until('the gateway answers itself, and that is told', ask, 8_000).catch(() => false);
  scene.expect('the gateway answers itself, and that is told', told, `${own} is ${await scene.prometheus.value(own)}`);
}

/** It hangs, as behind a network that carries nothing any more. */
async function stopRedis(scene: Scene): Promise<void> {
  const server = /^process_id:(\d+)/m.exec(await scene.system.redis.info('server'))?.[1];
  if (!server) throw new Error('Redis does not tell which process it is');
  const [{ commands, queries }] = scene.system.users as [(typeof scene.system.users)[number]];
  process.kill(Number(server), 'SIGSTOP');
  let id = '';
  try {
    ({ id } = await commands.ask({ prompt: 'is taken though nobody can be told', model: MODEL }));
    const ready = 'min(redis_connection_ready)';
    await reaches(scene, 'a Redis that hangs is given up', ready, (value) => value === 0, 12_000);
    const unread = 'sum(increase(metrics_read_failures_total{metric="redis_stream_lag"}[30s]))';
    await reaches(scene, 'what it would tell is counted as unread', unread, positive);
  } finally {
    process.kill(Number(server), 'SIGCONT');
  }
  const back = 'min(redis_connection_ready{job!="worker"})';
  await reaches(scene, 'and is taken again', back, (value) => value === 1, 15_000);
  const { status } = await queries.prompt(id, { wait: ANSWER_MS / 1000 });
  scene.expect('what waited is answered', status === 'completed', status);
}
