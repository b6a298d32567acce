// graphile-worker: add one by one, then process no-op jobs that store a result.
import { makeWorkerUtils, run } from 'graphile-worker';
import { each, options, payload, result } from './rate.mjs';

const utils = await makeWorkerUtils({ connectionString: options.postgresUri });
await utils.migrate();
await utils.withPgClient((client) => client.query('CREATE TABLE bench_result (id integer PRIMARY KEY, answer text)'));
const startedAt = performance.now();
const addSeconds = await each(options.count, options.concurrency, (i) => utils.addJob('ask', payload(i)));
let done = 0;
let finish;
const all = new Promise((resolve) => {
  finish = resolve;
});
const runner = await run({
  connectionString: options.postgresUri,
  concurrency: options.concurrency,
  taskList: {
    ask: async (data, helpers) => {
      await helpers.query('INSERT INTO bench_result VALUES ($1, $2)', [data.id, data.prompt]);
    },
  },
});
runner.events.on('job:success', () => {
  done += 1;
  if (done === options.count) finish();
});
await all;
result(options.count, addSeconds, (performance.now() - startedAt) / 1000);
