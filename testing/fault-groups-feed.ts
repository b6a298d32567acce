/** The fault cases of the last two groups; see fault-groups.ts. */

/** `matrix`: cases by the beginning of their names. `tests`: a file, and a test's name in it. `why`: not made here. */
export type FaultGroupCase = {
  id: string;
  what: string;
  matrix?: string[];
  tests?: [file: string, name: string][];
  why?: string;
};

const MAIN = 'testing/e2e/main-job.int.test.ts';
const LIVE = 'query-api/feed/live.int.test.ts';
const STANDBY = 'testing/faults/cases/standby.ts';
const REPLICA_AWAY = 'testing/e2e/replica-away.int.test.ts';
const READS = 'query-api/reads.int.test.ts';
const RELEASES = 'testing/faults/cases/releases.ts';
const BESIDE = 'D9 the next release beside this one under load, and back';

export const feedAndWholeSystem: Record<string, FaultGroupCase[]> = {
  'H. Query API and feed': [
    { id: 'H1', what: 'a slow reader', tests: [[LIVE, 'costs a bounded buffer, holds up nobody']] },
    {
      id: 'H2',
      what: 'resume from anywhere',
      tests: [[LIVE, 'who asks for too old a position is told to read the state again']],
    },
    { id: 'H3', what: 'killed with its sockets', matrix: ['H3 '] },
    {
      id: 'H4',
      what: 'an event between subscription and first frame',
      tests: [[LIVE, 'cut off again and again sees every event of theirs once, in order']],
    },
    {
      id: 'H5',
      what: 'half-open clients',
      tests: [[LIVE, 'a socket that carries nothing any more is ended within two pings']],
    },
    { id: 'H6', what: 'hints lost', matrix: ['B7 '] },
    { id: 'H7', what: 'deltas of two attempts', why: 'not built yet' },
    {
      id: 'H8',
      what: 'read right after the 202',
      tests: [
        [MAIN, 'is never 404 for its owner, always for others'],
        ['query-api/reads.int.test.ts', 'accepted while the read model stands still is there'],
      ],
    },
    {
      id: 'H9',
      what: 'a key revoked while connected',
      tests: [['testing/e2e/access-live.int.test.ts', 'by revocation ends whatever was opened with it']],
    },
    {
      id: 'H10',
      what: 'a lagging replica',
      tests: [
        [STANDBY, 'H10 the replica is paused: reads say how old they are, or wait, and decide nothing'],
        [REPLICA_AWAY, 'that comes back behind is not read from before it has what was read elsewhere'],
      ],
    },
  ],
  'I. Whole system': [
    { id: 'I-1', what: 'everything at once, seeded', tests: [['testing/faults/ci.ts', 'a minute of everything']] },
    { id: 'I-2', what: 'power cuts', matrix: ['I-2 '] },
    { id: 'I-3', what: 'started in any order', matrix: ['I-3 '] },
    {
      id: 'I-4',
      what: 'an older Postgres with a newer Redis',
      tests: [
        ['testing/faults/older-postgres.ts', 'I-4 an older Postgres with a newer Redis'],
        [READS, 'is not believed after another start of the server, which may hold an older log'],
      ],
    },
    { id: 'I-5', what: 'upgrade and downgrade', tests: [[RELEASES, BESIDE]] },
    { id: 'I-6', what: 'wrong clocks', matrix: ['I-6 ', 'D10 '] },
    { id: 'I-7', what: 'a day’s soak', why: 'takes a day: `npm run chaos -- --minutes 1440`' },
    { id: 'I-8', what: 'migrations under load', tests: [[RELEASES, BESIDE]] },
  ],
};
