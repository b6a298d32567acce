/** How soon each service is ready, with and without code that an earlier start compiled. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Ready } from './figures.ts';
import { SERVICES, startService } from './service.ts';

const STARTS = 3;

/** `work`: where folders may be made. */
export async function measureReady(app: string, work: string, env: Record<string, string>): Promise<Ready[]> {
  const all: Ready[] = [];
  for (const service of SERVICES) {
    const ready: Ready = { service, coldSeconds: [], warmSeconds: [] };
    const start = async (cache: string): Promise<number> => {
      const running = await startService(app, service, { ...env, NODE_COMPILE_CACHE: cache });
      await running.end(); // by which what it compiled is kept
      return running.readySeconds;
    };
    let cache = '';
    for (let i = 0; i < STARTS; i += 1) {
      cache = mkdtempSync(join(work, 'compiled-'));
      ready.coldSeconds.push(await start(cache));
    }
    for (let i = 0; i < STARTS; i += 1) ready.warmSeconds.push(await start(cache));
    all.push(ready);
  }
  return all;
}
