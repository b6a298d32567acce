/** The fault cases that a system like this must survive, by group, and where each is held; or why it is not made here. */

import { type FaultGroupCase, feedAndWholeSystem } from './fault-groups-feed.ts';

export type { FaultGroupCase } from './fault-groups-feed.ts';

const MAIN = 'testing/e2e/main-job.int.test.ts';
const GEMINI = 'worker/providers/gemini/gemini.test.ts';
const FAULTS = 'platform/postgres/appender-faults.int.test.ts';
const UNANSWERED = 'command-api/unanswered.int.test.ts';
const STANDBY = 'testing/faults/cases/standby.ts';
const ON_STANDBY = 'testing/e2e/standby.int.test.ts';
const PROJECTOR = 'projector/projector.int.test.ts';
const RELEASES = 'testing/faults/cases/releases.ts';
const BESIDE = 'D9 the next release beside this one under load, and back';
const everyFault: [string, string] = [GEMINI, 'every fault of the emulator'];

export const faultGroups: Record<string, FaultGroupCase[]> = {
  'A. Accept': [
    { id: 'A1', what: 'killed before and after the commit', matrix: ['api.admitted kill', 'api.appended kill'] },
    {
      id: 'A2',
      what: 'the commit’s reply is lost',
      matrix: ['A2 '],
      tests: [[UNANSWERED, 'loses the reply of a commit']],
    },
    {
      id: 'A3',
      what: 'the client leaves',
      matrix: ['A3 '],
      tests: [
        ['testing/e2e/wire.int.test.ts', 'whose client leaves in the middle of its body leaves nothing in the log'],
      ],
    },
    {
      id: 'A4',
      what: 'one key fifty times',
      tests: [[MAIN, 'makes fifty equal requests one prompt, and refuses another body']],
    },
    {
      id: 'A5',
      what: 'Postgres down, hanging, slow; every connection taken',
      matrix: ['A5 '],
      tests: [[UNANSWERED, 'an ask is 503 with Retry-After']],
    },
    {
      id: 'A6',
      what: 'serialization, deadlock, lock and statement time-outs, shutdowns',
      matrix: ['A6 '],
      tests: [[FAULTS, 'whose connection is ended before it had the lock is made again, and stored once']],
    },
    {
      id: 'A7',
      what: 'disk full, failing reads and writes',
      matrix: ['A7 '],
      tests: [
        ['testing/faults/full-disk.ts', 'A7 the disk of Postgres is full'],
        ['testing/faults/failing-fsync.ts', 'A7 flushes of Postgres fail'],
      ],
    },
    { id: 'A8', what: 'Postgres crashes right after acknowledgements', matrix: ['A8 ', 'I-2 '] },
    {
      id: 'A9',
      what: 'failover to a standby: without its tail, and synchronous',
      tests: [
        [STANDBY, 'A9 synchronous: nobody takes the log, and nothing is acknowledged'],
        [STANDBY, 'A9 synchronous: the primary dies under load, and the standby takes its place'],
        [STANDBY, 'A9 asynchronous: the end of the log goes with the primary, and all else goes on'],
        [ON_STANDBY, 'is not answered, and waits again'],
      ],
    },
    {
      id: 'A10',
      what: 'the old primary comes back',
      tests: [
        [STANDBY, 'A10 the old primary comes back as it was, and takes nothing for which it has no standby'],
        [STANDBY, 'A10 the old primary comes back as a standby, and the services still go there'],
        [ON_STANDBY, 'where a primary is needed a standby is refused'],
      ],
    },
    {
      id: 'A11',
      what: 'U+0000, lone surrogates, deep nesting',
      tests: [['testing/e2e/bodies.int.test.ts', 'is refused, and the fault points at it']],
    },
    {
      id: 'A12',
      what: 'oversize, wrong types, extra fields',
      tests: [['testing/e2e/bodies.int.test.ts', 'is refused, and the fault points at it']],
    },
    { id: 'A13', what: 'accept during shutdown', matrix: ['D9 ', 'D8 all of command-api'] },
  ],
  'B. Relay': [
    {
      id: 'B1',
      what: 'killed before publishing, between, after',
      matrix: ['relay.stamped kill', 'relay.published kill'],
    },
    { id: 'B2', what: 'XADD’s reply is lost', matrix: ['B2 '] },
    { id: 'B3', what: 'Redis away, backlog drains', matrix: ['B3 '] },
    { id: 'B4', what: 'two relays, the leader paused', matrix: ['B4 ', 'relay.stamped stop'] },
    { id: 'B5', what: 'rows committed late or locked', matrix: ['B5 '] },
    { id: 'B6', what: 'OOM, READONLY, NOPERM', matrix: ['B6 ', 'C5 '] },
    { id: 'B7', what: 'hints lost', matrix: ['B7 '] },
    { id: 'B8', what: 'an undeliverable row', why: 'entries carry ids of fixed size and form; there is none' },
    { id: 'B9', what: 'published, then Redis lost it', matrix: ['relay.published wipe', 'sweeper.found_unreadable'] },
  ],
  'C. Redis': [
    {
      id: 'C1',
      what: 'wiped at each stage',
      matrix: [
        'C1 ',
        'relay.published wipe',
        'worker.entry_read wipe',
        'worker.claimed wipe',
        'worker.called wipe',
        'worker.settled wipe',
        'worker.told wipe',
        'worker.acknowledged wipe',
      ],
    },
    {
      id: 'C2',
      what: 'group gone while it is read',
      matrix: ['C2 '],
      tests: [['worker/worker-faults.int.test.ts', 'the group while it is waited on']],
    },
    { id: 'C3', what: 'killed and restarted empty', matrix: ['C3 '] },
    {
      id: 'C4',
      what: 'an older or other Redis',
      matrix: ['C4 '],
      tests: [['command-api/relay/relay.int.test.ts', 'rolled back to a former state, as by a failover']],
    },
    { id: 'C5', what: 'memory full', matrix: ['C5 '] },
    { id: 'C6', what: 'a policy that evicts', matrix: ['C6 '] },
    { id: 'C7', what: 'trimmed', matrix: ['C7 '] },
    {
      id: 'C8',
      what: 'group destroyed, set back and forth, consumers deleted, the stream overwritten',
      matrix: ['C8 '],
    },
    { id: 'C9', what: 'stalled', matrix: ['C9 '] },
    {
      id: 'C10',
      what: 'half-open, cut, late',
      matrix: ['C10 '],
      tests: [['platform/redis/half-open.int.test.ts', 'fails its command in time']],
    },
    { id: 'C11', what: 'delivered twice, claimed by a stranger', matrix: ['C11 '] },
    { id: 'C12', what: 'foreign and malformed entries', matrix: ['C12 '] },
    { id: 'C13', what: 'delivered often, never attempted', matrix: ['C13 '] },
    { id: 'C14', what: 'started in any order', matrix: ['I-3 '] },
  ],
  'D. Worker and lease': [
    {
      id: 'D1',
      what: 'killed at every step',
      matrix: [
        'worker.entry_read kill',
        'worker.claimed kill',
        'worker.streaming kill',
        'worker.called kill',
        'worker.settled kill',
        'worker.told kill',
        'worker.acknowledged kill',
        'D1 ',
      ],
    },
    {
      id: 'D2',
      what: 'a zombie',
      matrix: ['D2 ', 'worker.claimed stop', 'worker.streaming stop', 'worker.called stop'],
      tests: [['worker/worker-leases.int.test.ts', 'and answers first completes the prompt']],
    },
    { id: 'D3', what: 'the event loop blocked', matrix: ['D3 '] },
    { id: 'D4', what: 'the worker cut off from Postgres alone', matrix: ['D4 '] },
    { id: 'D5', what: 'Postgres away when the answer comes', matrix: ['D5 ', 'worker.spooled kill'] },
    {
      id: 'D6',
      what: 'the spool torn, or not writable',
      matrix: ['D6 '],
      tests: [['worker/worker-spool.int.test.ts', 'that the disk does not take is held in memory']],
    },
    { id: 'D7', what: 'an exception nobody catches, once and with every attempt', matrix: ['D7 '] },
    {
      id: 'D8',
      what: 'SIGTERM with calls in flight',
      matrix: ['D8 '],
      tests: [['worker/worker.int.test.ts', 'aborts what has not ended when its time to drain is over']],
    },
    {
      id: 'D9',
      what: 'rolling restart; another release’s events',
      matrix: ['D9 '],
      tests: [
        [RELEASES, BESIDE],
        [RELEASES, 'D9 the next release writes before its readers are there'],
        ['worker/worker-faults.int.test.ts', 'holds a prompt with an event nobody knows'],
        ['testing/e2e/parked.int.test.ts', 'sets its stream aside; the prompt is shown as it was before'],
      ],
    },
    { id: 'D10', what: 'wrong clocks', matrix: ['D10 '] },
    { id: 'D11', what: 'cancel races with completion', matrix: ['D11 '] },
    { id: 'D12', what: 'expiry in the queue', matrix: ['D12 '] },
    {
      id: 'D13',
      what: 'fairness under load',
      tests: [
        [
          'command-api/relay/relay.int.test.ts',
          'gives users turns: five hundred prompts of one do not hold up another’s',
        ],
      ],
    },
    {
      id: 'D14',
      what: 'two claims at one instant',
      tests: [['platform/postgres/append.int.test.ts', 'of two workers at once is one’s alone']],
    },
    {
      id: 'D15',
      what: 'no file descriptors, DNS, TLS',
      matrix: ['D15 '],
      tests: [
        ['worker/providers/gemini/classify-error.test.ts', 'a fault before anything was sent is free and tried again'],
      ],
    },
  ],
  'E. Provider': [
    ...['E1', 'E2', 'E14'].map((id) => ({
      id,
      what: 'quotas, keys and payments: each by the SDK, parking on real servers',
      tests: [
        everyFault,
        ['worker/worker-outcomes.int.test.ts', 'is parked until then, and the prompt waits'] as [string, string],
      ],
    })),
    ...['E3', 'E4', 'E7', 'E8', 'E9', 'E10', 'E11', 'E12', 'E13', 'E15', 'E17'].map((id) => ({
      id,
      what: 'a fault of the provider, one by one',
      matrix: ['E every fault'],
      tests: [everyFault],
    })),
    { id: 'E5', what: 'hangs', matrix: ['E5 '], tests: [[GEMINI, 'ends when it is aborted']] },
    { id: 'E6', what: 'aborted by us', tests: [[GEMINI, 'ends when it is aborted']] },
    {
      id: 'E16',
      what: 'an answer without end',
      tests: [['worker/providers/gemini/read-stream.test.ts', 'an answer without end is given up']],
    },
    {
      id: 'E18',
      what: 'hostile text',
      tests: [['testing/e2e/tools.int.test.ts', 'nothing that a terminal would obey']],
    },
    {
      id: 'E19',
      what: 'an outage',
      matrix: ['E19 '],
      tests: [
        [
          'worker/breaker.test.ts',
          'opens after enough prompts failed in a row and enough time without a success, not before',
        ],
      ],
    },
    { id: 'E20', what: 'background interactions', why: 'not built yet' },
  ],
  'F. Results': [
    {
      id: 'F1',
      what: 'killed between commit and acknowledgement',
      matrix: ['worker.settled kill', 'worker.told kill'],
    },
    {
      id: 'F2',
      what: 'out of order',
      tests: [['contracts/prompt/state.test.ts', 'folding in pieces gives what folding at once gives']],
    },
    { id: 'F3', what: 'told a hundred times', matrix: ['F3 '] },
    {
      id: 'F4',
      what: 'conflicts on one stream',
      tests: [['platform/postgres/append.int.test.ts', 'at one expected version: one is written, the other is told']],
    },
    {
      id: 'F5',
      what: 'poison',
      matrix: ['F5 '],
      tests: [['worker/worker-outcomes.int.test.ts', 'with U+0000 and lone surrogates is stored without loss']],
    },
    { id: 'F6', what: 'the results stream lost', matrix: ['F6 ', 'worker.settled wipe'] },
    { id: 'F7', what: 'Postgres away', matrix: ['D5 '] },
  ],
  'G. Projector and replay': [
    {
      id: 'G1',
      what: 'killed between write and commit',
      matrix: ['projector.folded kill', 'projector.written kill', 'projector.committed kill'],
    },
    {
      id: 'G2',
      what: 'commit order and position order',
      matrix: ['G2 '],
      tests: [['platform/postgres/append.int.test.ts', 'from four processes: a reader meanwhile sees no gap']],
    },
    {
      id: 'G3',
      what: 'a long transaction',
      why: 'readers follow positions, not transaction ids: nothing waits for it',
    },
    {
      id: 'G4',
      what: 'a poison event',
      tests: [
        [PROJECTOR, 'a stream with an event nobody knows is set aside, all others flow'],
        ['projector/parking/replay-parked.int.test.ts', 'again and again, folds every event once'],
      ],
    },
    {
      id: 'G5',
      what: 'a rebuild that dies',
      tests: [
        ['projector/rebuild/rebuild-faults.int.test.ts', 'leaves the live version live, and the next one ends'],
        ['projector/ledger/remake.int.test.ts', 'is not served by halves, and the next one comes to its end'],
        ['projector/rebuild/jobs.int.test.ts', 'leaves its job to the next one, which goes on from the last page'],
      ],
    },
    {
      id: 'G6',
      what: 'rebuilt twice, the same; old versions of events',
      tests: [
        [PROJECTOR, 'gives the same tables, byte for byte, for any size of batch'],
        ['testing/stored-logs/stored-logs.int.test.ts', 'is read to the same answers'],
      ],
    },
    {
      id: 'G7',
      what: 'replay calls nobody',
      tests: [['testing/architecture.test.ts', 'folders import only what they may']],
    },
    { id: 'G8', what: 'a million events', why: 'measured with the benchmarks of replay, not here' },
    { id: 'G9', what: 'two projectors', tests: [[PROJECTOR, 'is not changed by a second runner']] },
    {
      id: 'G10',
      what: 'sums',
      tests: [
        ['projector/ledger/audit.int.test.ts', 'by two at once, while events come and are folded, finds nothing wrong'],
        ['projector/ledger/audit.int.test.ts', 'tells a prompt that is counted twice, though it cost nothing'],
        ['projector/ledger/audit-spans.int.test.ts', 'of any level, and finds nothing wrong'],
        [
          'projector/ledger/remake.int.test.ts',
          'never shows fewer entries than before, nor other sums than the statistics',
        ],
      ],
    },
  ],
  ...feedAndWholeSystem,
};
