import type { StreamDepth } from '../../redis/stream-depth.ts';
import { type Make, readOnce, type Sample } from '../instrument.ts';

export const streamMetrics = (make: Make) => {
  const labels = ['stream', 'group'];
  const entries = make.watched('redis_stream_entries', 'Entries of the stream', ['stream']);
  const lag = make.watched('redis_stream_lag', 'Entries that no consumer of the group was given yet', labels);
  const pending = make.watched('redis_stream_pending', 'Entries that were given and are not acknowledged', labels);
  return {
    /** `read`: null while another process tells. */
    watch: (stream: string, group: string, read: () => Promise<StreamDepth | null>): void => {
      const depth = readOnce(read);
      const of = (value: (depth: StreamDepth) => number, on: Record<string, string>) => async (): Promise<Sample[]> => {
        const found = await depth();
        return found ? [{ labels: on, value: value(found) }] : [];
      };
      entries(of((found) => found.entries, { stream }));
      lag(of((found) => found.lag, { stream, group }));
      pending(of((found) => found.pending, { stream, group }));
    },
  };
};
