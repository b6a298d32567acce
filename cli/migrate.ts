/** `npm run migrate`: brings the database's schema up to this build. */
import { applyMigrations } from '../platform/postgres/migrate.ts';
import { cliConfig, postgresUri, runTool } from './target.ts';

await runTool(async () => {
  const config = cliConfig();
  const applied = await applyMigrations(postgresUri(config), config.MIGRATIONS_DIR);
  console.log(applied.length === 0 ? 'The schema is up to date.' : `Applied: ${applied.join(', ')}`);
});
