import { writeFileSync } from 'node:fs';
import { allCases, runMatrix } from './matrix.ts';

const filter = new RegExp(process.argv[2] ?? '.');
const cases = allCases().filter((c) => filter.test(c.name));
console.log(cases.length, 'cases');
const r = await runMatrix({
  seed: 1,
  cases,
  onCase: (c) => console.log(c.ok ? 'ok  ' : 'FAIL', c.seconds.toFixed(1), c.name, c.error ?? ''),
  onStuck: (s) => console.log(s),
});
writeFileSync('/tmp/evidence-matrix.json', JSON.stringify(r.evidence));
console.log(
  'failed',
  r.results.filter((x) => !x.ok).length,
  'exits',
  r.evidence.unexpectedExits,
  r.evidence.secretsFound,
);
process.exit(0);
