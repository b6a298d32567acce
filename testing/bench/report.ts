/** doc/benchmarks.md. */
export type Row = { what: string; floor?: number; detail?: string } & (
  | { ratio: number; goal: number }
  | { ratio: number; atMost: number }
  | { milliseconds: number; goal: number }
);

export function toMarkdown(rows: Row[], run: { command: string; date: string; machine: string }): string {
  const lines = rows.map((row) => {
    const value = 'ratio' in row ? `${row.ratio.toFixed(2)} ×` : `${row.milliseconds.toFixed(1)} ms`;
    const floor =
      row.floor === undefined ? '–' : `${'ratio' in row ? '≥' : '≤'} ${row.floor} ${'ratio' in row ? '×' : 'ms'}`;
    const { text, reached } = goalOf(row);
    return `| ${row.what} | ${value} | ${text}${reached ? ' ✓' : ' missed'} | ${floor} | ${row.detail ?? ''} |`;
  });
  return `# Benchmarks

Written by \`${run.command}\` on ${run.date}: ${run.machine}. Everything runs on this one machine, load generator
included; absolute rates are of this run alone, only ratios mean something.

| what | measured | goal | floor | rates of this run |
|---|---|---|---|---|
${lines.join('\n')}

- Accepted asks: command-api as a process of its own, every ask authenticated, validated, its event and outbox row
  flushed to disk (fsync on); wrk as the client. pgbench makes the same two inserts into copies of both tables with all
  their indexes, one transaction each, prepared, at its best number of clients. BullMQ adds without HTTP, to a Redis that
  writes nothing to disk. Three rounds in turn, medians.
- All hops: asked over HTTP, 64 at once, relay, worker (64 slots), projector and query-api in one process as in
  \`npm start\`, until the last read model is written. The peers add one by one, 64 at once, then process no-op jobs that
  store a result, 64 at once.
- Socket: from the 202 at the client to the completed prompt on its WebSocket.

How long statistics and pages of a large log take, beside those of a small one: [reads of a large log](benchmarks-reads.md).
`;
}

function goalOf(row: Row): { text: string; reached: boolean } {
  if ('milliseconds' in row) return { text: `≤ ${row.goal} ms`, reached: row.milliseconds <= row.goal };
  if ('atMost' in row) return { text: `≤ ${row.atMost} ×`, reached: row.ratio <= row.atMost };
  return { text: `≥ ${row.goal} ×`, reached: row.ratio >= row.goal };
}
