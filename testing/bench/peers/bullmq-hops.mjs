// BullMQ: add one by one, then process no-op jobs whose return value is stored.
import { Queue, Worker } from 'bullmq';
import { each, options, payload, result } from './rate.mjs';

const url = new URL(options.redisUri);
const connection = { host: url.hostname, port: Number(url.port), password: url.password };
const queue = new Queue('hops', { connection });
await queue.waitUntilReady();
const startedAt = performance.now();
const addSeconds = await each(options.count, options.concurrency, (i) => queue.add('ask', payload(i)));
let done = 0;
await new Promise((resolve) => {
  const worker = new Worker('hops', async (job) => ({ answer: job.data.prompt }), {
    connection: { ...connection, maxRetriesPerRequest: null },
    concurrency: options.concurrency,
  });
  worker.on('completed', () => {
    done += 1;
    if (done === options.count) resolve();
  });
});
const allSeconds = (performance.now() - startedAt) / 1000;
await queue.obliterate({ force: true });
result(options.count, addSeconds, allSeconds);
