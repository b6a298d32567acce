import type { Make } from '../instrument.ts';

/** A prompt's beginning and end, told by the process that recorded it. */
export const promptMetrics = (make: Make) => {
  const accepted = make.counter('prompts_accepted_total', 'Prompts answered with 202, without repeated ones', [
    'lane',
    'model',
  ]);
  const ended = make.counter('prompts_ended_total', 'Prompts that reached a terminal state', ['model', 'status']);
  return {
    onAccepted: ({ lane, model }: { lane: string; model: string }): void => accepted.inc({ lane, model }),
    onEnded: ({ model, status }: { model: string; status: string }): void => ended.inc({ model, status }),
  };
};
