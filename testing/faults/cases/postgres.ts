/** Groups A and D5: Postgres late, gone, restarted, locked, or silent about what it did. */
import { amidCalls, type Bench, type Case, pause, repliesLost, until } from './bench.ts';

const wires = (bench: Bench, service?: string) =>
  [...bench.fleet.wires.entries()]
    .filter(([name]) => !service || name.startsWith(service))
    .map(([, pair]) => pair.postgres);

const amid = (name: string, act: (bench: Bench) => Promise<unknown>, delayMs = 150): Case =>
  amidCalls(name, ['postgres'], act, delayMs);

const refusing = <T>(bench: Bench, work: () => Promise<T>) =>
  bench.fleet.impairments.during('postgres', 'refusing', work);
const endBackends = (bench: Bench, name = '%') =>
  refusing(bench, () =>
    bench.fleet.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE $1',
      [name],
    ),
  );

async function crash(bench: Bench, downMs = 0): Promise<void> {
  await bench.fleet.postgres.kill();
  await pause(downMs);
  await bench.fleet.postgres.start();
}

/** Every write of the log and the outbox fails like this for a while, as far as the chance goes. */
const refuseWrites = (bench: Bench, sqlState: string, chance: number, ms: number): Promise<void> =>
  refusing(bench, () => withRefusal(bench, sqlState, chance, ms));

async function withRefusal({ fleet }: Bench, sqlState: string, chance: number, ms: number): Promise<void> {
  await fleet.query(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN IF random() < ${chance} THEN RAISE EXCEPTION 'refused for a test' USING ERRCODE = '${sqlState}'; END IF; RETURN NEW; END $$`,
  );
  // One table at a time: holding the lock of one while asking for the other deadlocks with the appends.
  await fleet.query('CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse()');
  await fleet.query('CREATE TRIGGER refuse BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()');
  await pause(ms);
  await fleet.query('DROP TRIGGER refuse ON event');
  await fleet.query('DROP TRIGGER refuse ON outbox');
  await fleet.query('DROP FUNCTION refuse()');
}

const LOCKED_SECONDS = 6;

/** Whoever changes it fails alone: the others are accepted, claimed and settled while it is held. */
async function aroundALockedRow(bench: Bench): Promise<void> {
  const [held] = (await bench.asks(1, { emulate: { delayMs: 1_000 } })) as [string];
  let isHeld = true;
  const holding = refusing(bench, async () => {
    await bench.fleet.query(
      `WITH held AS MATERIALIZED (SELECT prompt_id FROM outbox WHERE prompt_id = $1 FOR UPDATE) SELECT pg_sleep(${LOCKED_SECONDS}) FROM held`,
      [held],
    );
    isHeld = false;
  });
  // The worker's word about it comes after a second, and again and again.
  await pause(1_500);
  const asked = await bench.asks(8, { emulate: { delayMs: 20 } });
  await until('the others have ended', async () => {
    const types = await bench.typesOf(asked);
    return types.every((all) => all.at(-1) === 'PromptCompleted');
  });
  if (!isHeld) throw new Error('the others ended only when the row was let go');
  await holding;
}

export const postgresCases: Case[] = [
  amid('A7 the disk is full, as Postgres says it', (bench) => refuseWrites(bench, '53100', 1, 2_000), 400),
  amid('A7 reading and writing fails, as Postgres says it', (bench) => refuseWrites(bench, '58030', 1, 1_000), 400),
  amid('A6 serialization failures', (bench) => refuseWrites(bench, '40001', 0.4, 1_500), 400),
  amid('A6 deadlocks', (bench) => refuseWrites(bench, '40P01', 0.4, 1_500), 400),
  amid('A6 lock time-outs', (bench) => refuseWrites(bench, '55P03', 0.4, 1_500), 400),
  amid('A8 crashed and recovered', (bench) => crash(bench)),
  amid('A8 crashed three times in a row', async (bench) => {
    for (let i = 0; i < 3; i += 1) await crash(bench);
  }),
  amid('D5 away for two seconds while answers come', (bench) => crash(bench, 2_000), 400),
  amid('D5 away for longer than a lease while answers come', (bench) => crash(bench, bench.leaseMs * 2), 400),
  amid('A5 stopped for three seconds', async (bench) => {
    bench.fleet.postgres.signal('SIGSTOP');
    await pause(3_000);
    bench.fleet.postgres.signal('SIGCONT');
  }),
  amid('A6 every connection ended by the administrator', (bench) => endBackends(bench)),
  amid('A6 connections of the appends ended, again and again', async (bench) => {
    for (let i = 0; i < 8; i += 1) {
      await endBackends(bench, '%-append');
      await pause(60);
    }
  }),
  amid('B4 the leading relay’s connection ended', (bench) => endBackends(bench, '%-relay')),
  amid('G2 the projector’s connections ended, again and again', async (bench) => {
    for (let i = 0; i < 8; i += 1) {
      await endBackends(bench, 'projector-%');
      await pause(60);
    }
  }),
  amid('A6 statements cancelled', async (bench) => {
    for (let i = 0; i < 8; i += 1) {
      await refusing(bench, () =>
        bench.fleet.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
        ),
      );
      await pause(40);
    }
  }),
  amid('A6 the append lock held by a stranger for a second', (bench) =>
    refusing(bench, () => bench.fleet.query('SELECT pg_advisory_lock(7301), pg_sleep(1)')),
  ),
  amid('B5 rows of the outbox locked by a stranger for a second', (bench) =>
    refusing(bench, () =>
      bench.fleet.query(
        'WITH locked AS (SELECT prompt_id FROM outbox FOR UPDATE) SELECT count(*), pg_sleep(1) FROM locked',
      ),
    ),
  ),
  {
    name: 'B5 one row of the outbox locked by a stranger for six seconds: all others go on',
    run: async (bench) => {
      await bench.fault('a row locked', ['postgres'], () => aroundALockedRow(bench));
      await bench.clean();
    },
  },
  amid('A2 replies of commits lost', (bench) => repliesLost(wires(bench), 6)),
  amid('A5 half-open', async (bench) => {
    for (const wire of wires(bench)) wire.hang();
    await pause(3_000);
    for (const wire of wires(bench)) wire.mend();
  }),
  amid('D4 half-open to the workers alone, for longer than a lease', async (bench) => {
    for (const wire of wires(bench, 'worker')) wire.hang();
    await pause(bench.leaseMs * 2);
    for (const wire of wires(bench, 'worker')) wire.mend();
  }),
  amid('D4 cut off from the workers alone, for longer than a lease', async (bench) => {
    for (const wire of wires(bench, 'worker')) wire.cut();
    await pause(bench.leaseMs * 2);
    for (const wire of wires(bench, 'worker')) wire.mend();
  }),
  amid('B4 cut off from the command-apis alone', async (bench) => {
    for (const wire of wires(bench, 'command-api')) wire.cut();
    await pause(1_500);
    for (const wire of wires(bench, 'command-api')) wire.mend();
  }),
  amid('A5 every word 300 ms late', async (bench) => {
    for (const wire of wires(bench)) wire.delay(300);
    await pause(2_000);
    for (const wire of wires(bench)) wire.mend();
  }),
];
