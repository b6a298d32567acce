/** Why the stack cannot start: one sentence, with what to do. Shown without a stack trace. */
export class StartError extends Error {
  readonly code = 'cannot_start';
}
