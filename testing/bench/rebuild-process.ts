/** One rebuild up to where the log ends, as `npm run replay -- --until` makes it; tells its time and its largest size. */
import { resourceUsage } from 'node:process';
import { readHead } from '../../platform/postgres/read.ts';
import { rebuild, withRebuildPool } from '../../projector/rebuild/rebuild.ts';

const uri = process.env['POSTGRES_URI']!;
const position = await withRebuildPool({ uri, max: 2 }, (pool) => readHead(pool));
const startedAt = performance.now();
await rebuild({ uri, until: { position }, dryRun: false, anew: true, onProgress: () => {} });
const seconds = (performance.now() - startedAt) / 1000;
console.log(`rebuilt in ${seconds.toFixed(3)} s, ${resourceUsage().maxRSS * 1024} bytes`);
