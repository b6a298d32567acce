/** Telling a primary from a standby when a connection is made, as libpq does with `target_session_attrs=primary`. */
import type { EventEmitter } from 'node:events';
import pg from 'pg';

/** A server in recovery answered where a primary is needed; as a refused write it carries SQLSTATE 25006. */
export class StandbyError extends Error {
  readonly code = '25006';
}

/** A client that keeps what the server reports of itself (ParameterStatus): no statement is needed to ask. */
export class ReportingClient extends pg.Client {
  readonly reported = new Map<string, string>();

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const { connection } = this as unknown as { connection: EventEmitter };
    connection.on('parameterStatus', (status: { parameterName: string; parameterValue: string }) => {
      this.reported.set(status.parameterName, status.parameterValue);
    });
  }
}

/**
 * Throws `StandbyError`. A former primary that came back as a standby takes connections and answers reads, of an older
 * state, for as long as they last: what decides must not stay on one.
 */
export function refuseStandby(client: pg.ClientBase): void {
  if (client instanceof ReportingClient && client.reported.get('in_hot_standby') === 'on')
    throw new StandbyError('the server is a standby, a primary is needed');
}
