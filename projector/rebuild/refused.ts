/** Why nothing was rebuilt, or nothing switched; what is served is as it was. */
export class RebuildError extends Error {
  readonly code = 'rebuild_refused';
}
