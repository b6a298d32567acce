import type { Make } from '../instrument.ts';

type Pool = {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
  options: { max?: number | undefined };
};

export const connectionMetrics = (make: Make) => {
  const open = make.watched('db_client_connection_count', 'Connections to Postgres, by pool and whether in use', [
    'pool',
    'state',
  ]);
  const most = make.watched('db_client_connection_max', 'Connections that the pool may open', ['pool']);
  const waiting = make.watched('db_client_connection_pending_requests', 'Waiting for a connection of the pool', [
    'pool',
  ]);
  const redis = make.watched('redis_connection_ready', '1 while the connection to Redis takes commands', ['purpose']);
  return {
    watchPool: (pool: string, of: Pool): void => {
      open(() => [
        { labels: { pool, state: 'used' }, value: of.totalCount - of.idleCount },
        { labels: { pool, state: 'idle' }, value: of.idleCount },
      ]);
      most(() => [{ labels: { pool }, value: of.options.max ?? 0 }]);
      waiting(() => [{ labels: { pool }, value: of.waitingCount }]);
    },
    watchRedis: (purpose: string, read: () => boolean): void =>
      redis(() => [{ labels: { purpose }, value: read() ? 1 : 0 }]),
  };
};
