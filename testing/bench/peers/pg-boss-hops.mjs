// pg-boss: send one by one, then work no-op jobs whose return value is stored as their output.
import { PgBoss } from 'pg-boss';
import { each, options, payload } from './rate.mjs';

const boss = new PgBoss(options.postgresUri);
boss.on('error', console.error);
await boss.start();
await boss.createQueue('ask');
const startedAt = performance.now();
const addSeconds = await each(options.count, options.concurrency, (i) => boss.send('ask', payload(i)));
let done = 0;
await new Promise((resolve) => {
  void boss.work('ask', { localConcurrency: options.concurrency }, async ([job]) => {
    done += 1;
    if (done === options.count) resolve();
    return { answer: job.data.prompt };
  });
  const watch = setInterval(() => console.error(`pg-boss: ${done} of ${options.count}`), 20_000);
  watch.unref();
  // Its polling may make it take minutes: after this the rate so far stands.
  setTimeout(resolve, 90_000).unref();
});
const allSeconds = (performance.now() - startedAt) / 1000;
console.log(
  JSON.stringify({
    perSecond: done / allSeconds,
    addPerSecond: options.count / addSeconds,
    processPerSecond: done / (allSeconds - addSeconds),
  }),
);
process.exit(0);
