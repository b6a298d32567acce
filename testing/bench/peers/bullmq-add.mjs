// BullMQ `add` for a time. No HTTP, nothing fsynced.
import { Queue } from 'bullmq';
import { options, payload } from './rate.mjs';

const url = new URL(options.redisUri);
const queue = new Queue('accepted', {
  connection: { host: url.hostname, port: Number(url.port), password: url.password },
});
await queue.waitUntilReady();
const until = performance.now() + options.seconds * 1000;
const startedAt = performance.now();
let added = 0;
const lane = async () => {
  while (performance.now() < until) {
    await queue.add('ask', payload(added));
    added += 1;
  }
};
await Promise.all(Array.from({ length: options.concurrency }, lane));
const perSecond = added / ((performance.now() - startedAt) / 1000);
await queue.obliterate({ force: true });
console.log(JSON.stringify({ perSecond }));
process.exit(0);
