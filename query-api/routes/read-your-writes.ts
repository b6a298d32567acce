import { problem } from '../../platform/http/problem.ts';
import type { LiveModel } from '../read-models/live-model.ts';

const LONGEST_WAIT_MS = 2_000;

/** Holds a read until the read model has the position asked for; throws `read_model_behind` after two seconds. */
export async function awaitPosition(live: LiveModel, position: number | undefined, signal: AbortSignal): Promise<void> {
  if (position === undefined || (await live.waitFor(position, LONGEST_WAIT_MS, signal))) return;
  const detail = `the read model is at ${live.current().position}, ${position} was asked for`;
  throw problem('read_model_behind', { detail });
}
