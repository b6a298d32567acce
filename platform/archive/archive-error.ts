/** The files are not the archive that this log needs, or nothing may be archived now; nothing was changed. */
export class ArchiveError extends Error {
  readonly code = 'archive_refused';
}
