/**
 * Loaded into a service by the supervisor (`--import`), never into an image: arms fail points and bends the clock when
 * the supervisor says so over the process's channel, and tells when the process stood still. `BOOT_SKEW_MS` bends the clock
 * before the service begins.
 */
import { armFailPoints, type FailPoint } from '../../platform/fail-points.ts';
import { watchStalls } from './stalls.ts';

/** `spin`: the event loop does nothing else; `crash`: an exception that nobody catches. */
export type Action = 'kill' | 'stop' | 'throw' | 'delay' | 'spin' | 'crash';
export type Order =
  | { arm: FailPoint; action: Action; nth: number; delayMs?: number }
  | { disarm: true }
  /** Ends the process by an exception that nobody catches when it is about to call the provider for this prompt. */
  | { poison: string }
  /** The process believes it is so much later (or earlier) than it is. */
  | { skewMs: number };
/** Sent when an armed point is reached, before anything happens there. */
export type Reached = { reached: FailPoint; action: Action };
const POISONED: FailPoint = 'provider.poisoned';
/** The event loop did not turn for so long: whatever the cause, no heartbeat can have been sent. */
export type Stalled = { stalledMs: number };

let armed: Extract<Order, { arm: FailPoint }> | null = null;
let hits = 0;

armFailPoints((name) => {
  if (armed?.arm !== name) return;
  hits += 1;
  if (hits < armed.nth) return;
  const { action, delayMs = 0 } = armed;
  armed = null;
  process.send?.({ reached: name, action } satisfies Reached);
  switch (action) {
    case 'kill':
      // The channel is written by now: send() writes at once when nothing waits before it.
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'stop':
      process.kill(process.pid, 'SIGSTOP');
      return;
    case 'throw':
      throw Object.assign(new Error(`fail point ${name}`), { code: 'ECONNRESET' });
    case 'spin': {
      const until = performance.now() + delayMs;
      while (performance.now() < until);
      return;
    }
    case 'crash':
      crash(name);
      return;
    case 'delay':
      return new Promise((resolve) => setTimeout(resolve, delayMs));
  }
});

function crash(name: FailPoint): void {
  setImmediate(() => {
    throw new Error(`fail point ${name}`);
  });
}

let poison: string | null = null;
const realFetch = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const attemptId = new Headers(init?.headers).get('x-attempt-id');
  if (poison === null || !attemptId?.startsWith(`${poison}/`)) return realFetch(input, init);
  process.send?.({ reached: POISONED, action: 'crash' } satisfies Reached);
  crash(POISONED);
  return new Promise(() => {});
};

process.on('message', (order: Order) => {
  if ('arm' in order) {
    armed = order;
    hits = 0;
  } else if ('skewMs' in order) skew(order.skewMs);
  else if ('poison' in order) poison = order.poison;
  else [armed, poison] = [null, null];
});
// Whoever started it has gone, however it went: no service is left behind.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// The channel alone must not keep a service alive that has stopped.
process.channel?.unref();

/** One of these costs no lease, several of them may: the checker adds them up. */
const STALL_MS = 100;
watchStalls(STALL_MS, (stalledMs) => {
  if (process.connected) process.send?.({ stalledMs } satisfies Stalled, () => {});
});

const RealDate = Date;
function skew(ms: number): void {
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args: unknown[]) =>
      args.length === 0 ? new target(RealDate.now() + ms) : Reflect.construct(target, args),
    get: (target, name, receiver) => (name === 'now' ? () => RealDate.now() + ms : Reflect.get(target, name, receiver)),
  });
}
const { BOOT_SKEW_MS } = process.env;
if (BOOT_SKEW_MS) skew(Number(BOOT_SKEW_MS));
