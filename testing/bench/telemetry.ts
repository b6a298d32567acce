/** What traces cost: asks accepted by two command-apis that differ in nothing else, in turn. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { best, CONNECTIONS, prepareAsks } from './asks.ts';
import { type BenchEnvironment, median, ROOT } from './environment.ts';

export type TelemetryCost = { traced: number; plain: number; connections: number; exports: number };

const PORTS = { traced: '18481', plain: '18482' };
const ROUNDS = 5;

/** `share` of the traces are recorded. The collector runs on this machine too, as little as it does. */
export async function measureTelemetry(
  environment: BenchEnvironment,
  seconds: number,
  share: number,
): Promise<TelemetryCost> {
  const preload = pathToFileURL(join(ROOT, 'platform/telemetry/preload.ts')).href;
  const collector = await environment.run('testing/bench/collector-process.ts', {}, /collecting on (\d+)\./);
  const address = `127.0.0.1:${collector.match[1]}`;
  const start = (port: string, env: Record<string, string>) =>
    environment.run(
      'command-api/main.ts',
      { PORT: port, HOST: '127.0.0.1', ADMIN_PORT: '0', NODE_OPTIONS: `--import=${preload}`, ...env },
      /is ready/,
    );
  const apis = [
    await start(PORTS.traced, {
      JAEGER_URI: address,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: String(share),
    }),
    await start(PORTS.plain, {}),
  ];
  const asks = prepareAsks(environment);
  try {
    for (const port of Object.values(PORTS)) asks.perSecond(port, 64, 3); // warm up
    const connections = best(CONNECTIONS, (n) => asks.perSecond(PORTS.plain, n, 3));
    const rounds = { traced: [] as number[], plain: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      // Whoever comes second finds a larger log: they take turns at that too.
      const order = round % 2 === 0 ? (['traced', 'plain'] as const) : (['plain', 'traced'] as const);
      for (const which of order) rounds[which].push(asks.perSecond(PORTS[which], connections, seconds));
    }
    const { exports } = (await (await fetch(`http://${address}/`)).json()) as { exports: number };
    if (exports === 0) throw new Error('no span was sent: nothing was measured');
    return { traced: median(rounds.traced), plain: median(rounds.plain), connections, exports };
  } finally {
    asks.remove();
    for (const api of apis) await api.end();
    await collector.end();
  }
}
