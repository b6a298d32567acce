/**
 * Faults in the code itself, one at a time: each is put into a copy of the project, which then runs a few cases. The
 * checker must condemn it, or the checker proves nothing.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { InvariantId } from './checker/check.ts';

const ROOT = join(import.meta.dirname, '../..');

type Edit = { file: string; from: string; to: string };
export type Mutation = {
  name: string;
  why: string;
  edits: Edit[];
  postgresSettings?: Record<string, string>;
  /** Cases of the matrix that are run, by the beginning of their names; `load`: six seconds of load without faults. */
  cases: string[];
  /** At least one of these must be named. */
  expected: InvariantId[];
};

export const mutations: Mutation[] = [
  {
    name: 'the row goes when it is claimed',
    why: 'acknowledged before the outcome is on record',
    edits: [
      {
        file: 'migrations/13_retention.sql',
        from: "j.op = 'claim' AND b.prompt_id = j.stream_id",
        to: "j.op = 'nothing' AND b.prompt_id = j.stream_id",
      },
      {
        file: 'migrations/13_retention.sql',
        from: "AND j.op = 'drop' AND",
        to: "AND j.op IN ('drop', 'claim') AND",
      },
    ],
    cases: ['worker.claimed kill'],
    expected: ['I1', 'I12'],
  },
  {
    name: 'commits are not flushed',
    why: 'synchronous_commit off, and a crash',
    edits: [],
    postgresSettings: { synchronous_commit: 'off', wal_writer_delay: '10s', wal_writer_flush_after: '1GB' },
    cases: ['I-2 power cut under load', 'I-2 power cut under load', 'I-2 power cut under load'],
    expected: ['I1', 'I15', 'I4'],
  },
  {
    name: 'claims without a fence',
    why: 'a row is claimed while another attempt runs',
    edits: [
      {
        file: 'migrations/13_retention.sql',
        from: "AND x.state = 'open' AND x.token IS NULL",
        to: "AND x.state = 'open'",
      },
      {
        file: 'contracts/prompt/decide.ts',
        from: "  if (openAttempt(state)) return { refused: 'running' };\n  const attempt",
        to: '  const attempt',
      },
    ],
    cases: [
      'worker.streaming stop',
      'worker.claimed stop',
      'C11 pending entries claimed by a stranger',
      'worker.called stop',
    ],
    expected: ['I5'],
  },
  {
    name: 'nothing is held',
    why: 'a call that nobody may repeat lightly is given up with its lease',
    edits: [
      {
        file: 'worker/claim.ts',
        from: "retry === 'auto' ? null : callTimeoutSeconds + leaseSeconds",
        to: 'null',
      },
    ],
    cases: ['worker.streaming kill', 'worker.called kill', 'worker.claimed kill'],
    expected: ['I5'],
  },
  {
    name: 'positions without the lock',
    why: 'two appends are given the same positions',
    edits: [
      {
        file: 'migrations/13_retention.sql',
        from: '  PERFORM pg_advisory_xact_lock(7301);\n\n  -- Rows to change',
        to: '  -- Rows to change',
      },
    ],
    cases: ['load'],
    expected: ['I15', 'I9'],
  },
  {
    name: 'sums that are only added to',
    why: 'increments instead of the difference to what was counted before',
    edits: [
      {
        file: 'projector/projections/prompts/fold-batch.ts',
        from: '    if (former) deltas.add(contributionOf(former), -1);\n',
        to: '',
      },
    ],
    cases: ['load'],
    expected: ['I6', 'I8'],
  },
  {
    name: 'an entry of the ledger is counted twice',
    why: 'what was reserved for an attempt stays so when it is settled',
    edits: [
      {
        file: 'migrations/10_ledger.sql',
        from: '    UNION ALL SELECT user_id, model, 0, -1, state, nano_usd, bound_nano_usd FROM before\n',
        to: '',
      },
    ],
    cases: ['load'],
    expected: ['I6'],
  },
  {
    name: 'no sweeper',
    why: 'nobody finds what fell through',
    edits: [{ file: 'command-api/relay/relay.ts', from: '    await options.sweep(lead);\n', to: '' }],
    cases: ['worker.streaming kill'],
    expected: ['I1', 'I12'],
  },
  {
    name: 'the SDK tries again by itself',
    why: 'several calls for one attempt',
    edits: [
      {
        file: 'worker/providers/gemini/gemini.ts',
        from: "httpOptions: { headers: { 'x-attempt-id'",
        to: "httpOptions: { retryOptions: { attempts: 3 }, headers: { 'x-attempt-id'",
      },
    ],
    cases: ['E19 refuses everything for two seconds'],
    expected: ['I4', 'I7'],
  },
  {
    name: 'a read without its owner',
    why: 'anybody may read anything',
    edits: [
      {
        file: 'query-api/routes/prompts.ts',
        from: 'found && mayRead(request.principal, found.prompt.userId) ? found',
        to: 'found ? found',
      },
    ],
    cases: ['load'],
    expected: ['I10'],
  },
  {
    name: 'a cut stream is an answer',
    why: 'no look at the finish reason',
    edits: [
      {
        file: 'worker/providers/gemini/read-stream.ts',
        from: '    case null:\n',
        to: "    case null:\n      if (answer !== '') return { type: 'completed', answer, finishReason: 'STOP', truncated: false, billing, modelVersion, emulated };\n",
      },
    ],
    cases: ['E every fault of the emulator'],
    expected: ['I1'],
  },
];

/** The project with the mutation in it; throws when the code it is about has changed. */
export function mutatedCopy({ edits }: Mutation): { root: string; remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), 'orchestrator-mutant-'));
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of files.split('\n')) {
    if (file === '' || /^(doc|testing\/data|\.)/.test(file)) continue;
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(join(ROOT, file), join(root, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  for (const { file, from, to } of edits) {
    const text = readFileSync(join(root, file), 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not have this once: ${from}`);
    writeFileSync(
      join(root, file),
      text.replace(from, () => to),
    );
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) };
}
