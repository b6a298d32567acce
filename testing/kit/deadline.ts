/**
 * Imported before each process of the suite: ends one that is still there after its time, say of a connection that a failed
 * test left open, and names what held it. Node's own time-out is of tests, and waits for the process of a file for ever.
 */
const seconds = Number(process.env.TEST_PROCESS_SECONDS ?? 900);
// The process that starts one for each file ends when they do.
const isParent = process.execArgv.includes('--test') && !process.execArgv.includes('--test-isolation=none');
if (!isParent) {
  setTimeout(() => {
    const held = Object.entries(Object.groupBy(process.getActiveResourcesInfo(), (kind) => kind));
    const what = held.map(([kind, all]) => `${all?.length} ${kind}`).join(', ');
    console.error(
      `${process.argv.slice(1).join(' ')}: not ended after ${seconds} seconds, held by ${what || 'nothing that has a name'}`,
    );
    process.exit(1);
  }, seconds * 1_000).unref();
}
