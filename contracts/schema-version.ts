/** The number of the newest file in migrations/: the only schema this build works with. */
export const SCHEMA_VERSION = 8;
