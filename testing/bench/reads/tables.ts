/** What is copied, and in which order its rows are written. */
export type Copied = {
  table: string;
  /** Rows of a copy: their columns, after the position of the event that a row is of where they stand in its order. */
  select: (columns: string) => string;
  /** Rows in the order of the log, each where the event stands that it is of; else each row's copies one after another. */
  byEvent: boolean;
  /** Times of single prompts, later in each copy. */
  moves: boolean;
  /** By whether the stream of a row has left the log for an archive; all unless it is said. */
  rows?: 'log' | 'archived';
};
/** What is written by one writer after another, and the table that has the indexes of it. */
export type TableGroup = { tables: Copied[]; indexed: string };

const ofEvents = (table: string, position: string, join = ''): Copied => ({
  table,
  select: (columns) => `SELECT ${position}, ${columns} FROM ${table} t ${join} ORDER BY 1, 2`,
  byEvent: true,
  moves: true,
});
const sums = (table: string, order: string): Copied => ({
  table,
  select: (columns) => `SELECT ${columns} FROM ${table} t ORDER BY ${order}`,
  byEvent: false,
  moves: false,
});

/** Streams that have left the log. */
export const OF_ARCHIVED: Copied = { ...ofEvents('archived_stream', 't.position'), rows: 'archived' };

/**
 * What takes longest first. Partitions have no indexes of their own. All of a group is written before its indexes are made, while
 * it is in memory.
 */
export function tableGroups(version: number, hasArchive: boolean): TableGroup[] {
  const v = `v${version}`;
  const alone = (table: Copied): TableGroup => ({ tables: [table], indexed: table.table });
  return [
    // As they lie in a database that has grown: in the order of submission.
    alone(ofEvents(`prompt_text_${v}`, 'p.submitted_position', `JOIN prompt_${v} p USING (prompt_id)`)),
    alone(ofEvents(`prompt_${v}`, 't.submitted_position')),
    alone({ ...ofEvents('event', 't.position'), rows: 'log' }),
    alone(ofEvents('ledger_entry', 't.reserved_position')),
    ...(hasArchive ? [alone(OF_ARCHIVED)] : []),
    {
      tables: [0, 2, 3, 4, 5].map((level) => sums(`usage_${v}_${level}`, 'bucket, user_id, model, emulated')),
      indexed: `usage_${v}`,
    },
    {
      tables: [2, 3, 4, 5].map((level) => sums(`user_usage_${v}_${level}`, 'bucket, user_id, emulated')),
      indexed: `user_usage_${v}`,
    },
    alone(sums('ledger_account', 'user_id, model')),
  ];
}

/** All that a log has before any of it is archived. */
export const copiedTables = (version: number): Copied[] => tableGroups(version, false).flatMap(({ tables }) => tables);

const added = [
  ...['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'expired'],
  ...['input_tokens', 'cached_input_tokens', 'output_tokens', 'thought_tokens'],
  ...['confirmed_nano_usd', 'wasted_nano_usd', 'unknown_bound_nano_usd', 'unknown_attempts'],
];
const times = (columns: string[], factor: number) => columns.map((name) => `${name} * ${factor} AS ${name}`).join(', ');

/** Sums over all users, who used a model (once they are numbered), and where everything stands: `last` position. */
export function overAll(version: number, copies: number, last: number): string[] {
  const v = `v${version}`;
  const anew = (table: string, select: string) => [
    `CREATE TEMP TABLE anew AS ${select}`,
    `TRUNCATE ${table}`,
    `INSERT INTO ${table} SELECT * FROM anew`,
    'DROP TABLE anew',
  ];
  return [
    ...anew(
      `model_usage_${v}`,
      `SELECT level, bucket, model, emulated, ${times(added, copies)},
              ARRAY(SELECT (b & 4095) + (b >> 12) * ${copies} * 4096 FROM unnest(bins) WITH ORDINALITY u(b, n) ORDER BY n) AS bins
         FROM model_usage_${v} ORDER BY 1, 2, 3, 4`,
    ),
    ...anew(
      `model_latency_${v}`,
      `SELECT level, bucket, model, emulated, bin, ${times(['n'], copies)} FROM model_latency_${v} ORDER BY 1, 2, 3, 4, 5`,
    ),
    ...anew(
      `model_user_${v}`,
      `SELECT level, bucket, model, emulated, number / 512, bit_or(set_bit(0::bit(512), number % 512, 1))
         FROM usage_${v} JOIN user_number_${v} USING (user_id)
        WHERE (queued, running, retrying, completed, failed, cancelled, expired) <> (0, 0, 0, 0, 0, 0, 0)
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`,
    ),
    `UPDATE cursor SET position = ${last}, as_of = (SELECT recorded_at FROM event WHERE position = ${last})
      WHERE name = 'prompts' AND version = ${version} AND lane = 0`,
    `UPDATE log_head SET position = ${last}, recorded_at = (SELECT recorded_at FROM event WHERE position = ${last})`,
    `UPDATE ledger_head SET position = ${last}`,
  ];
}
