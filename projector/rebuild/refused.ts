/** Why nothing was rebuilt, or nothing switched; what is served is as it was. */
export class RebuildError extends Error {
  readonly code: string = 'rebuild_refused';
}

/** Somebody else is at it: later it may be taken. */
export class RebuildBusyError extends RebuildError {
  override readonly code = 'rebuild_busy';
  constructor() {
    super('Another rebuild, or an archive, is running: let it end, or stop it.');
  }
}
