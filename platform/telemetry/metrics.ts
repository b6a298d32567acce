/** The metrics of one process. Labels are bounded: routes, models served, states; never ids or users. */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { createMake, type Make } from './instrument.ts';
import { processMetrics } from './instruments/process.ts';

/** On every value, so that rules and dashboards read ours alone where one Prometheus serves many: deployment/grafana/promql.ts. */
export const APPLICATION = 'prompt-orchestrator';

/** A group of instruments, see instruments/: made when a process first asks for it, so that none shows what it does not do. */
export type Group<M> = (make: Make) => M;

export type Metrics = {
  registry: Registry;
  /** The group's instruments in this registry; the same ones each time. */
  of: <M>(group: Group<M>) => M;
};

/** `service` and `application` are on every value. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  // Or it takes no exemplars. What is answered is for the scraper to say, see exposition.ts.
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  registry.setDefaultLabels({ service, application: APPLICATION });
  collectDefaultMetrics({ register: registry });
  const make = createMake(registry);
  processMetrics(make);
  const made = new Map<Group<unknown>, unknown>();
  return {
    registry,
    of: <M>(group: Group<M>): M => {
      if (!made.has(group)) made.set(group, group(make));
      return made.get(group) as M;
    },
  };
}
