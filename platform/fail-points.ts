/**
 * Named places between two steps at which a fault run may kill, stop, delay or fail this process. Nothing here can arm
 * one: that is done by testing/faults, which no image contains. Unarmed it costs one comparison.
 */

/** `component.step`, the step that has just been done or is about to be. */
export type FailPoint = `${string}.${string}`;

let hook: ((name: FailPoint) => Promise<void> | void) | null = null;

export const failPoint = (name: FailPoint): Promise<void> | void => hook?.(name);

export function armFailPoints(onReached: (name: FailPoint) => Promise<void> | void): void {
  hook = onReached;
}
