/** The rules under the promise, and the tests that fail without them: made into doc/reference/rules.md, checked by a test. */

export type Rule = {
  id: string;
  says: string;
  /** `file` from the project's root, and a test's name, or its beginning, as it stands there. */
  tests: [file: string, name: string][];
};

const APPEND = 'platform/postgres/append.int.test.ts';
const ANSWERS = 'platform/postgres/append-answers.int.test.ts';
const OUTBOX = 'platform/postgres/append-outbox.int.test.ts';
const APPENDER = 'platform/postgres/appender.int.test.ts';
const FAULTS = 'platform/postgres/appender-faults.int.test.ts';
const SERVER_CLOCK = 'platform/postgres/server-clock.int.test.ts';
const DECIDE = 'contracts/prompt/decide.test.ts';
const STATE = 'contracts/prompt/state.test.ts';
const LEASES = 'worker/worker-leases.int.test.ts';
const ENTRIES = 'worker/worker-entries.int.test.ts';
const WORKER_FAULTS = 'worker/worker-faults.int.test.ts';
const RELAY = 'command-api/relay/relay.int.test.ts';
const SWEEPER = 'command-api/relay/sweeper.int.test.ts';
const PROJECTOR = 'projector/projector.int.test.ts';
const PARKING = 'projector/parking/replay-parked.int.test.ts';
const READS = 'query-api/reads.int.test.ts';
const LIVE = 'query-api/feed/live.int.test.ts';
const ARCHIVE = 'cli/archiving/archive-log.int.test.ts';
const ARCHIVE_REFUSED = 'cli/archiving/archive-refused.int.test.ts';
const ARCHIVE_E2E = 'testing/e2e/archive.int.test.ts';
const IDEMPOTENCY = 'testing/e2e/idempotency.int.test.ts';
const SPOOL = 'worker/spool/spool.test.ts';
const WORKER_SPOOL = 'worker/worker-spool.int.test.ts';
const MAIN = 'testing/e2e/main-job.int.test.ts';
const OPEN_WORK = 'testing/helm/open-work.check.ts';
const CONFORMANCE = 'testing/simulation/conformance.int.test.ts';

export const rules: Record<string, Rule[]> = {
  Append: [
    {
      id: '1',
      says: 'An append with an id that is in the log, or earlier in the call, is a duplicate as a whole; one bad append never poisons its batch.',
      tests: [
        [APPEND, 'writes nothing of an append of which any event is known'],
        [APPEND, 'knows an event id that an earlier append of it has brought'],
        [APPENDER, 'lets one bad append fail alone'],
      ],
    },
    {
      id: '2',
      says: 'One append per stream and call.',
      tests: [[APPEND, 'takes one append per stream; the second is sent back']],
    },
    {
      id: '3',
      says: 'A duplicate is answered with what stands, before anything else is judged.',
      tests: [
        [ANSWERS, 'is answered with the stream, place, time, type and metadata of the event that stands'],
        [ANSWERS, 'is known before its version is judged'],
        [IDEMPOTENCY, 'is answered as before though its model is served no more'],
      ],
    },
    {
      id: '4',
      says: 'Ids are derived wherever a repetition must be seen: of tenant, user, route and key; of prompt and generation; of the attempt’s token.',
      tests: [
        ['platform/ids.test.ts', 'of a submission is of tenant, user, route and key together'],
        [STATE, 'each generation has at most one terminal event, and event keys are never used twice'],
        [DECIDE, 'a redriven prompt has a new budget, goes on counting attempts, and can end again'],
      ],
    },
    {
      id: '5',
      says: 'A client that is paused in an append, or holds its lock, is cut off.',
      tests: [
        [ANSWERS, 'a client that is paused between Execute and Sync is cut off'],
        [APPEND, 'is freed from a client that holds its lock and does nothing'],
      ],
    },
    {
      id: '6',
      says: 'A call is bounded in appends and bytes; a larger append goes alone and has more time.',
      tests: [
        [APPENDER, 'keeps a call below a megabyte, and sends a larger append alone'],
        [APPENDER, 'gives a larger append more time'],
      ],
    },
    {
      id: '7',
      says: 'What arrives during a call goes into the next one.',
      tests: [[APPENDER, 'puts what arrives during a call into the next ones']],
    },
    {
      id: '8',
      says: 'Positions are gapless, time never goes back along them, and neither restarts.',
      tests: [
        [APPEND, 'from four processes: a reader meanwhile sees no gap, and time never goes backwards'],
        [APPEND, 'goes on counting where it was when its rows are archived away'],
        [ANSWERS, 'never goes back in time, though the clock of the server does'],
        [ANSWERS, 'holds nothing up after a clock that was ahead'],
      ],
    },
    {
      id: '9',
      says: 'Plans of the hot statements are pinned.',
      tests: [
        ['platform/postgres/plans.int.test.ts', 'the relay touches what it takes, however long the backlog'],
        ['platform/postgres/plans-reads.int.test.ts', 'what reads every row is noticed by this test'],
      ],
    },
  ],
  'Outbox, claim, settle': [
    {
      id: '10',
      says: 'The row lives until the prompt has ended and no attempt is unaccounted.',
      tests: [
        [STATE, 'the outbox row lives exactly as long as the prompt is open or an attempt is unaccounted for'],
        [SWEEPER, 'is recorded as lost with its bound, and the prompt tried again later'],
      ],
    },
    {
      id: '11',
      says: 'A cost is folded per attempt, unknown to known, once; a retry after a lost reply finds its own success.',
      tests: [
        [DECIDE, 'a cost once known is not changed by another word'],
        [DECIDE, 'a cost recorded as unknown becomes known by the worker’s own late word, once'],
        [STATE, 'a known cost is kept for ever, whatever is said later'],
        [LEASES, 'and fails late brings nothing but its cost'],
        [WORKER_FAULTS, 'takes an append whose reply is lost, the attempt is called and settled once'],
      ],
    },
    {
      id: '12',
      says: 'A claim is idempotent by its token, and needs number, time and no other lease; a refused one is acknowledged only when the entry is of no use.',
      tests: [
        [APPEND, 'that is repeated with its token is the same attempt; another one is refused'],
        [CONFORMANCE, 'needs the row’s own number, and is refused while another one lives'],
        [ENTRIES, 'under a number that is no longer its own is acknowledged and not called'],
        [ENTRIES, 'whose time has not come is not called, and its entry stays'],
        [WORKER_FAULTS, 'and its disk fails at the flush'],
      ],
    },
    {
      id: '13',
      says: 'Claimed but surely not called costs nothing and counts against nothing.',
      tests: [
        [DECIDE, 'counts nothing when it was surely not called, or when the whole model is refused'],
        [
          WORKER_FAULTS,
          'takes a claim when its lease is nearly over, the provider is not called and the attempt costs nothing',
        ],
        [WORKER_SPOOL, 'stands: the next process tells that it was not called, and even `never` is asked again'],
      ],
    },
    {
      id: '14',
      says: 'A lease is dead only if Postgres has been up for longer than it.',
      tests: [
        [SWEEPER, 'is not taken for dead while Postgres has been up for less than a lease'],
        [SWEEPER, 'is not taken for dead when the server has crashed since, though its postmaster lives on'],
        ['testing/e2e/crash-recovery.int.test.ts', 'a backend is killed, the server recovers under its postmaster'],
        [CONFORMANCE, 'only when its lease is dead waits for that, and for its hold'],
      ],
    },
    {
      id: '16',
      says: '`never` with a lost lease waits for the call’s own end and fails as outcome_unknown; expiry never cuts a live attempt; no redrive after it.',
      tests: [
        [SWEEPER, 'of a prompt with retry never ends it: nobody knows what came of it'],
        [SWEEPER, 'is not touched while the lease lives, nor while its prompt asks to wait for the call’s own end'],
        [DECIDE, 'expiry never cuts a running attempt'],
        [DECIDE, 'a redrive after its time is refused'],
        [CONFORMANCE, 'does not open one whose time is over, where that is asked'],
        [SERVER_CLOCK, 'is asked again, and carried on while it cannot be'],
      ],
    },
    {
      id: '17',
      says: 'Claims and heartbeats touch no index; a heartbeat that met a lock is made again.',
      tests: [
        ['platform/postgres/plans-heartbeats.int.test.ts', 'heartbeats touch no index'],
        ['worker/worker-heartbeat.int.test.ts', 'asks again for a row that was locked, and aborts nothing meanwhile'],
      ],
    },
  ],
  'Relay and Redis': [
    {
      id: '18',
      says: 'Publishing goes only onto the state that was left; any other state gives all numbers anew.',
      tests: [
        [CONFORMANCE, 'takes entries only onto the state that was left'],
        [RELAY, 'rolled back to a former state, as by a failover, is noticed too'],
        [RELAY, 'is published to again without the attempts that run'],
        ['platform/redis/half-open.int.test.ts', 'an XADD whose reply is lost is not sent again by the client'],
      ],
    },
    {
      id: '19',
      says: 'The leader stamps on the connection that holds the lock; a stopped leader loses it.',
      tests: [
        [RELAY, 'of two, one leads; when its connection is cut the other goes on, and nothing is lost'],
        ['command-api/relay/leader.int.test.ts', 'of a process that says nothing ends by the server’s word'],
        ['command-api/relay/leader.int.test.ts', 'over a connection that hangs is given up within seconds'],
        [RELAY, 'a relay that Redis answers with errors keeps its lock, and publishes what came meanwhile'],
      ],
    },
    {
      id: '20',
      says: 'An entry is lost if it is absent, or delivered and in no pending list; such a one is taken away.',
      tests: [
        [
          CONFORMANCE,
          'says which entries nobody will be given: absent ones, and those in no pending list; and deletes these',
        ],
        [SWEEPER, 'and never taken, or taken and pending, is left alone'],
      ],
    },
    {
      id: '21',
      says: 'The stream holds a bounded number of undelivered entries, per lane and model. Its other half, that a provider’s limit is reserved before the claim, is not built: calls are paced by the provider’s 429 alone.',
      tests: [
        [RELAY, 'keeps the backlog in Postgres: the stream holds about twice the free slots'],
        [RELAY, 'lets a model that nobody serves fast fill its own places only'],
      ],
    },
    {
      id: '22',
      says: '`results` is a wake-up; polling is always right. Whoever wrote to the log hints at it after the commit.',
      tests: [
        ['worker/worker.int.test.ts', 'hints at its claim, so that a prompt is shown as running before it is answered'],
        ['worker/worker.int.test.ts', 'acknowledges what it settled though the results stream cannot be told'],
        [MAIN, 'can be wiped at any moment: nothing is lost, nothing is called twice'],
      ],
    },
  ],
  'Projections and reads': [
    {
      id: '23',
      says: 'What workers are scaled by is counted in the outbox.',
      tests: [[OPEN_WORK, 'counts while it waits, is handed over and runs, and no longer when it is done']],
    },
    {
      id: '24',
      says: 'Folds use integers and event time; the cursor’s compare-and-set comes first.',
      tests: [
        [PROJECTOR, 'gives the same tables, byte for byte, for any size of batch'],
        [PROJECTOR, 'is not changed by a second runner: the cursor’s compare-and-set lets one of two through'],
        [CONFORMANCE, 'a projection moves only from where its cursor stands, and keeps what it was given'],
      ],
    },
    {
      id: '25',
      says: '`minPosition` waits two seconds at most; an accepted prompt is never 404.',
      tests: [
        [READS, 'beyond the log is 503 read_model_behind after about two seconds'],
        [READS, 'accepted while the read model stands still is there'],
        [READS, 'is told as it is when `wait` is over'],
      ],
    },
    {
      id: '26',
      says: 'A version that differs is never switched live.',
      tests: [[PROJECTOR, 'switches to an equal version, and one that differs is dropped']],
    },
    {
      id: '27',
      says: 'A cached prompt is not believed about a position it does not know; failed ones are not cached.',
      tests: [
        [READS, 'is not believed about a position it does not know'],
        [READS, 'does not keep a failed prompt, which may be sent again'],
      ],
    },
    {
      id: '28',
      says: 'A stream that cannot be folded is set aside; all others flow. Replayed, it ends as if nothing had been wrong.',
      tests: [
        [PROJECTOR, 'a stream with an event nobody knows is set aside, all others flow'],
        [PARKING, 'gives the same tables, byte for byte, as if nothing had been wrong'],
        [PARKING, 'that has read what another one folds meanwhile writes nothing'],
        [PARKING, 'between a projector’s look and its write makes that step anew'],
        ['testing/e2e/parked.int.test.ts', 'stops a rebuild, which says where'],
      ],
    },
    {
      id: '29',
      says: 'Series are by the bucket of the submission; days fit every time zone.',
      tests: [
        ['query-api/stats.int.test.ts', 'by status counts the present ones in the bucket of their submission'],
        ['query-api/read-models/time-zone.test.ts', 'have 23 hours in spring and 25 in autumn'],
      ],
    },
    {
      id: 'evolution',
      says: 'What a release has written is read by every later one, to the same answers; events are lifted where they are read.',
      tests: [
        ['testing/stored-logs/stored-logs.int.test.ts', 'is read to the same answers'],
        ['contracts/prompt/upcast.test.ts', 'is read as the present shape, no field more or less'],
        ['contracts/prompt/upcast.test.ts', 'is refused when the build starts'],
      ],
    },
  ],
  Feed: [
    {
      id: '30',
      says: 'A frame’s prompt is at least as new as the frame.',
      tests: [[MAIN, 'tells every event of the user’s prompts, in order, with a prompt at least as new']],
    },
    {
      id: '31',
      says: 'No gap, no repetition after a reconnect; too old or foreign a position is told to read anew.',
      tests: [
        [LIVE, 'cut off again and again sees every event of theirs once, in order'],
        [LIVE, 'who asks for too old a position is told to read the state again, and goes on from there'],
      ],
    },
  ],
  Retention: [
    {
      id: 'floor',
      says: 'Above the floor the table is gapless; at or below it streams are whole or gone, and only those go to which nothing but a cost’s correction can be added.',
      tests: [
        [STATE, 'to a closed stream nothing is ever added, whatever is decided'],
        [ARCHIVE, 'keeps streams that may change whole, is gapless above its floor, and goes on counting'],
        [ARCHIVE, 'was not set aside, nor has it a row in the outbox'],
        [ARCHIVE, 'is deleted by nobody else'],
      ],
    },
    {
      id: 'archive',
      says: 'Nothing is deleted before it was read back from the disk; an archive is replayed to the same tables, or refused.',
      tests: [
        [ARCHIVE, 'is replayed from files and table to the same tables, byte for byte'],
        ['cli/archiving/archive-crash.int.test.ts', 'goes on when it is run again, and nothing is lost'],
        [
          'cli/archiving/archive-crash.int.test.ts',
          'archives, crashes and appends in any order leave a log that is replayed to the same tables',
        ],
        [
          ARCHIVE_REFUSED,
          'a replay without the archive, or with one that has a gap, was changed, or is of another log',
        ],
      ],
    },
    {
      id: 'commands',
      says: 'No command is answered otherwise for it but the correction of a cost: keys stay used, failed prompts are sent again.',
      tests: [
        [ARCHIVE, 'is known: its ask repeated is a duplicate, anything else a conflict'],
        [ARCHIVE_E2E, 'an ask with a key of before is the same ask, and another body is refused'],
        [ARCHIVE_E2E, 'commands are answered as before: 409 for what has ended, 404 for another’s'],
        [ARCHIVE_E2E, 'a failed prompt is sent again, and what was open goes on'],
        [ARCHIVE_E2E, 'the ledger has its entries, of any time, and agrees with the sums'],
      ],
    },
    {
      id: 'looks back',
      says: 'What needs events that have left is told so, never given a part of them: 410, or resync on the feed.',
      tests: [
        [ARCHIVE_E2E, 'the timeline of what has left is 410 to whoever may read it, that of all others whole'],
        [ARCHIVE_E2E, 'one can look back to the floor exactly, and no further'],
        [
          ARCHIVE_E2E,
          'a feed that asks for a position before it is told to read anew, that of one prompt there goes on',
        ],
        ['query-api/feed/tailer.int.test.ts', 'goes on from the newest event, says so, and tells all that comes then'],
      ],
    },
  ],
  'Requests and spool': [
    {
      id: '32',
      says: 'Bodies under one Idempotency-Key are compared as sent.',
      tests: [
        [MAIN, 'makes fifty equal requests one prompt, and refuses another body'],
        [IDEMPOTENCY, 'is another one when it says what was left to a default'],
      ],
    },
    {
      id: '33',
      says: 'The spool is encrypted and checksummed, and outlives its process.',
      tests: [
        [SPOOL, 'shows no word of an answer on the disk, and nothing to other users'],
        [SPOOL, 'leaves files of another database where they are: the right key opens them later'],
        [WORKER_SPOOL, 'outlives its process: told to stop it leaves it, and the next one settles it without a call'],
        [FAULTS, 'whose answer is lost after the commit is made again, and finds itself'],
        [OUTBOX, 'a change is judged by the row as it is when its lock is free, not as it was before'],
      ],
    },
  ],
};
