/** The data sources that dashboards name, by the uids under which they are provisioned. */
export const prometheus = { type: 'prometheus', uid: 'prometheus' } as const;
export const tempo = { type: 'tempo', uid: 'tempo' } as const;
/** Logs in as a member of `prompt_dashboards`. */
export const postgres = { type: 'grafana-postgresql-datasource', uid: 'postgres' } as const;

export const datasources = [prometheus, tempo, postgres];
