/** command-api, built but not listening: routes for a server, and the relay behind them. */
import type { FastifyPluginAsync } from 'fastify';
import type pg from 'pg';
import type { RetryBudget } from '../contracts/prompt/retry.ts';
import { protect } from '../platform/http/authenticate.ts';
import type { Server } from '../platform/http/server.ts';
import type { VerifyKey } from '../platform/postgres/api-keys.ts';
import type { Appender } from '../platform/postgres/appender.ts';
import { findArchived } from '../platform/postgres/archived.ts';
import { readPrompt } from '../platform/postgres/read.ts';
import { readSecret } from '../platform/postgres/secret.ts';
import type { RedisClient } from '../platform/redis/connection.ts';
import type { HintBus } from '../platform/redis/hints.ts';
import { readStreamDepth } from '../platform/redis/stream-depth.ts';
import { createTaskStream, WORKERS_GROUP } from '../platform/redis/tasks.ts';
import { attemptMetrics } from '../platform/telemetry/instruments/attempts.ts';
import { promptMetrics } from '../platform/telemetry/instruments/prompts.ts';
import { relayMetrics } from '../platform/telemetry/instruments/relay.ts';
import { streamMetrics } from '../platform/telemetry/instruments/streams.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { ANSWER_WITHIN_MS, within } from '../platform/within.ts';
import { type AcceptOptions, createAcceptPrompt } from './accept-prompt.ts';
import { createChangePrompt } from './change-prompt.ts';
import { findSubmission } from './find-submission.ts';
import { createRedrive } from './redrive.ts';
import { isLed, tryLead } from './relay/leader.ts';
import { createReadings } from './relay/readings.ts';
import { createRelay, type Relay, type RelayLogger } from './relay/relay.ts';
import { createSweeper } from './relay/sweeper.ts';
import { askRoute } from './routes/ask.ts';
import { changeRoutes } from './routes/change.ts';
import { projectionRoutes } from './routes/projections.ts';
import { redriveRoute } from './routes/redrive.ts';

export type CommandApiOptions = {
  /** Unique among live processes; shows as the relay's name. */
  name: string;
  postgresUri: string;
  pool: pg.Pool;
  appender: Appender;
  redis: RedisClient;
  hints: HintBus;
  tasksStream: string;
  verifyKey: VerifyKey;
  models: ReadonlySet<string>;
  defaultModel: string;
  costBound: AcceptOptions['costBound'];
  budget: () => RetryBudget;
  /** The server's time. */
  now: () => Date;
  logger: RelayLogger;
  metrics?: Metrics;
};

export type CommandApi = {
  routes: FastifyPluginAsync;
  relay: Relay;
  /** For people: who dispatches what is accepted here; null when that could not be told. */
  whoLeads: () => Promise<'this process' | 'another' | 'nobody' | null>;
};

export async function createCommandApi(options: CommandApiOptions): Promise<CommandApi> {
  const { pool, appender, hints, logger, metrics } = options;
  const meter = metrics?.of(relayMetrics);
  const prompts = metrics?.of(promptMetrics);
  const attempts = metrics?.of(attemptMetrics);
  prompts?.expectAccepted(options.models);
  prompts?.expectEnded(options.models);
  // What its sweeper records of attempts.
  attempts?.expectFailures(options.models, ['lease_lost']);
  attempts?.expectCharges(options.models, ['unknown']);
  const { append } = appender;
  const read = (promptId: string) => readPrompt(pool, promptId);
  const tasks = createTaskStream(options.redis, options.tasksStream);
  const relay: Relay = createRelay({
    tasks,
    lead: () => tryLead(options.postgresUri, `${options.name}-relay`),
    sweep: createSweeper({
      read,
      append,
      tasks,
      budget: options.budget,
      name: options.name,
      logger,
      ...(meter && {
        onSkipped: meter.onSkipped,
        onLostAttempt: meter.onLostAttempt,
        onLostEntries: meter.onLostEntries,
      }),
      ...(prompts && { onEnded: prompts.onEnded }),
      ...attempts,
      onChange: () => {
        relay.wake();
        hints.send('log');
      },
    }),
    logger,
    ...(meter && { onPublished: meter.onPublished, onResync: meter.onResync }),
  });
  hints.on('ready', relay.wake);
  const leads = () => relay.leads;
  meter?.watch(createReadings(pool, leads));
  metrics
    ?.of(streamMetrics)
    .watch(options.tasksStream, WORKERS_GROUP, async () =>
      leads() ? readStreamDepth(options.redis, options.tasksStream, WORKERS_GROUP) : null,
    );

  /** The relay of this process may lead, or that of another one. */
  const announce = () => {
    if (relay.leads) relay.wake();
    else hints.send('ready');
    hints.send('log');
  };
  const accept = createAcceptPrompt({
    append: appender.appendWithin,
    find: (eventId) => findSubmission(pool, eventId),
    models: options.models,
    defaultModel: options.defaultModel,
    costBound: options.costBound,
    secret: await readSecret(pool),
    now: options.now,
    onAccepted: (ask) => {
      prompts?.onAccepted(ask);
      announce();
    },
  });
  const change = createChangePrompt({
    read,
    findArchived: (promptId) => findArchived(pool, promptId),
    append: appender.appendWithin,
    now: options.now,
  });

  const routes: FastifyPluginAsync = async (instance) => {
    const server = instance as unknown as Server;
    protect(server, options.verifyKey);
    askRoute(server, accept);
    changeRoutes(server, {
      change,
      onCancelled: (model) => {
        prompts?.onEnded({ model, status: 'cancelled' });
        hints.send('cancel');
        hints.send('log');
      },
      onRequeued: announce,
      onCorrected: () => hints.send('log'),
    });
    redriveRoute(server, createRedrive({ pool, retry: change.retry, now: options.now, onRequeued: announce }));
    projectionRoutes(server, { pool, onRequested: () => hints.send('rebuild') });
  };
  const whoLeads: CommandApi['whoLeads'] = async () => {
    if (relay.leads) return 'this process';
    try {
      return (await within(ANSWER_WITHIN_MS, isLed(pool))) ? 'another' : 'nobody';
    } catch (error) {
      logger.warn({ err: error }, 'health: whether a relay leads could not be told');
      return null;
    }
  };
  return { routes, relay, whoLeads };
}
