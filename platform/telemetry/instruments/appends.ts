import { type Make, sample } from '../instrument.ts';

export const appendMetrics = (make: Make) => {
  const seconds = make.histogram({ name: 'append_call_duration_seconds', help: 'One call of append_events' });
  const appends = make.histogram({
    name: 'append_call_appends',
    help: 'Appends in one call',
    buckets: [1, 2, 5, 10, 20, 50, 100],
  });
  const queue = make.watched('append_queue', 'Appends waiting for a call');
  return {
    onCall: (call: { appends: number; seconds: number }): void => {
      seconds({}, call.seconds);
      appends({}, call.appends);
    },
    watchQueue: (read: () => number): void => queue(() => sample(read())),
  };
};
