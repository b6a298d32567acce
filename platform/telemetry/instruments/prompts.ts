import type { Make } from '../instrument.ts';

const LANES = ['interactive', 'normal', 'batch'];
const STATUSES = ['completed', 'failed', 'cancelled', 'expired'];

/** A prompt's beginning and end, told by the process that recorded it. */
export const promptMetrics = (make: Make) => {
  const accepted = make.counter('prompts_accepted_total', 'Prompts answered with 202, without repeated ones', [
    'lane',
    'model',
  ]);
  const ended = make.counter('prompts_ended_total', 'Prompts that reached a terminal state', ['model', 'status']);
  return {
    /** These stand at 0 from now on: `increase` does not see the first value of a series. */
    expectAccepted: (models: Iterable<string>): void => {
      for (const model of models) for (const lane of LANES) accepted.inc({ lane, model }, 0);
    },
    expectEnded: (models: Iterable<string>): void => {
      for (const model of models) for (const status of STATUSES) ended.inc({ model, status }, 0);
    },
    onAccepted: ({ lane, model }: { lane: string; model: string }): void => accepted.inc({ lane, model }),
    onEnded: ({ model, status }: { model: string; status: string }): void => ended.inc({ model, status }),
  };
};
