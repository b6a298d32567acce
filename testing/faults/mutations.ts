/**
 * Faults in the code itself, one at a time: each is put into a copy of the project, which then runs a few cases. The
 * checker must condemn it, or the checker proves nothing.
 */
import type { InvariantId } from './checker/check.ts';
import type { Edit } from './project-copy.ts';

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
        file: 'migrations/14_unexpired.sql',
        from: "j.op = 'claim' AND b.prompt_id = j.stream_id",
        to: "j.op = 'nothing' AND b.prompt_id = j.stream_id",
      },
      {
        file: 'migrations/14_unexpired.sql',
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
        file: 'migrations/14_unexpired.sql',
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
        file: 'migrations/14_unexpired.sql',
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
        from: '    if (former) deltas.add(contributionsOf(former), -1);\n',
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
        file: 'migrations/22_ledger_beside.sql',
        from: '      UNION ALL SELECT user_id, model, 0, -1, state, nano_usd, bound_nano_usd, emulated FROM before\n',
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
    name: 'a failure counts whoever tells it',
    why: 'settled without a look at whose turn it is',
    edits: [
      {
        file: 'contracts/prompt/decide.ts',
        from: "if (attempt.end !== 'open') {",
        to: 'if (false as boolean) {',
      },
    ],
    cases: ['D2 the failure of an attempt that was given up comes late'],
    expected: ['I5'],
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
    cases: ['E19 refuses everything for two seconds', 'load'],
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
