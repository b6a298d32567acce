/** `npm run helm`: installs what checks the chart, then checks it; with the names of check files these alone. */
import { spawnSync } from 'node:child_process';
import { ROOT } from './chart-values.ts';
import { installTools } from './tools.ts';

installTools();
const named = process.argv.slice(2);
const checks = named.length > 0 ? named : ['testing/helm/*.check.ts'];
const { status } = spawnSync(process.execPath, ['testing/run-tests.ts', ...checks], { cwd: ROOT, stdio: 'inherit' });
process.exit(status ?? 1);
