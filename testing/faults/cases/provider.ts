/** Group E through the whole system: what each fault of the provider becomes is tested beside the adapter. */
import { faults } from '../../emulator/faults.ts';
import { type Bench, type Case, pause } from './bench.ts';

const during = (name: string, begin: (bench: Bench) => void, end: (bench: Bench) => void, ms: number): Case => ({
  name,
  run: async (bench) => {
    await bench.fault(name, ['provider'], async () => {
      const before = bench.asks(20, { emulate: { chunks: 5, chunkDelayMs: 30 } });
      await pause(60);
      begin(bench);
      const amid = bench.asks(20);
      await pause(ms);
      end(bench);
      await Promise.all([before, amid, bench.work()]);
    });
    await bench.clean();
  },
});

export const providerCases: Case[] = [
  {
    // Parked models wait for minutes by design: the breaker's and the parkings' own tests have them.
    name: 'E every fault of the emulator, once, with every retry policy',
    run: async (bench) => {
      const parking = ['429-daily', '429-spend', '402', 'bad-key', '403'];
      const once = Object.keys(faults).filter((fault) => !parking.includes(fault));
      await bench.fault('provider faults', ['provider'], async () => {
        await Promise.all(
          once.flatMap((fault) =>
            (['auto', 'cautious', 'never'] as const).map((retry) =>
              bench.asks(1, { retry, emulate: { faults: [fault, 'ok'] } }),
            ),
          ),
        );
        await pause(6_000); // calls that hang are cut at their deadline
      });
      await bench.clean();
    },
  },
  during(
    'E19 refuses everything for two seconds',
    (b) => b.fleet.emulator.setBehaviour({ fault: '503' }),
    (b) => b.fleet.emulator.setBehaviour({}),
    2_000,
  ),
  during(
    'E7 connections reset',
    (b) => b.fleet.providerWire.reset(),
    () => {},
    50,
  ),
  during(
    'E5 half-open for two seconds',
    (b) => b.fleet.providerWire.hang(),
    (b) => b.fleet.providerWire.mend(),
    2_000,
  ),
  during(
    'E7 cut off for a second',
    (b) => b.fleet.providerWire.cut(),
    (b) => b.fleet.providerWire.mend(),
    1_000,
  ),
  during(
    'E3 the last word is lost',
    (b) => b.fleet.providerWire.loseAnswer(),
    () => {},
    50,
  ),
];
