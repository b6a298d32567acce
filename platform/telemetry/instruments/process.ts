import { performance } from 'node:perf_hooks';
import { type Make, sample } from '../instrument.ts';

/** Beside those that prom-client has of every Node process. */
export const processMetrics = (make: Make) => {
  let last = performance.eventLoopUtilization();
  const utilization = make.watched(
    'nodejs_eventloop_utilization_ratio',
    'Share of the time since the last scrape in which the event loop was not idle, 0..1',
  );
  utilization(() => {
    const now = performance.eventLoopUtilization();
    const { utilization: share } = performance.eventLoopUtilization(now, last);
    last = now;
    return sample(share);
  });
};
