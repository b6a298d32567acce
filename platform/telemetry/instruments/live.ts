import { type Make, sample } from '../instrument.ts';

export type Backlog = {
  subscribers: number;
  /** Those whose socket does not take what it is sent. */
  stalled: number;
  /** Written and not taken yet, over all and of the slowest. */
  bytes: number;
  mostBytes: number;
};

export const liveMetrics = (make: Make) => {
  const subscribers = make.watched('live_subscribers', 'Connections on the live feed');
  const stalled = make.watched('live_stalled_subscribers', 'Of these, those that do not take what they are sent');
  const bytes = make.watched('live_backlog_bytes', 'Bytes written to them and not taken yet');
  const mostBytes = make.watched('live_backlog_most_bytes', 'The same of the slowest one');
  const resyncs = make.counter('live_resyncs_total', 'Times that a subscriber was told to read the state again');
  return {
    onResync: (): void => resyncs.inc(),
    watch: (read: () => Backlog): void => {
      subscribers(() => sample(read().subscribers));
      stalled(() => sample(read().stalled));
      bytes(() => sample(read().bytes));
      mostBytes(() => sample(read().mostBytes));
    },
  };
};
