/** A process of `npm run simulate`: simulates the seeds it is sent, one after the other, and sends back what each came by. */
import { type Simulated, type SimulationOptions, simulate } from './run.ts';

export type Order = SimulationOptions;
export type Answer = Simulated & { seed: number };

process.on('message', async (order: Order) => {
  const answer: Answer = { seed: order.seed, ...(await simulate(order)) };
  process.send?.(answer);
});
