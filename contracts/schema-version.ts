/** The number of the newest file in migrations/: the schema this build was made for. */
export const SCHEMA_VERSION = 22;
