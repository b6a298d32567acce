/** The registry as text: OpenMetrics, which has exemplars, for whoever asks for it, else Prometheus' own format. */
import { Registry } from 'prom-client';

export type Exposition = { contentType: string; text: string };

/** `accept`: the request's header. */
export function createExposition(registry: Registry): (accept: string | undefined) => Promise<Exposition> {
  // The format is the registry's own while it is written: one scrape after the other.
  let last: Promise<unknown> = Promise.resolve();
  return (accept) => {
    const wanted = accept?.includes('application/openmetrics-text')
      ? Registry.OPENMETRICS_CONTENT_TYPE
      : Registry.PROMETHEUS_CONTENT_TYPE;
    const written = last.then(() => write(registry, wanted));
    last = written.catch(() => {}); // told to the one who asked
    return written;
  };
}

type Named = { name: string };

async function write(registry: Registry, contentType: Exposition['contentType']): Promise<Exposition> {
  const metrics = registry.getMetricsAsArray() as unknown as Named[];
  const names = metrics.map(({ name }) => name);
  registry.setContentType(contentType as never);
  try {
    return { contentType, text: await registry.metrics() };
  } finally {
    // Writing OpenMetrics takes `_total` from the names of counters, and leaves it so.
    metrics.forEach((metric, i) => {
      metric.name = names[i]!;
    });
  }
}
