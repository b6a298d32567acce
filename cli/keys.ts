/** `npm run keys -- create|list|revoke`: API keys. A key is shown once, alone on the last line. */
import { Command, InvalidArgumentError } from 'commander';
import type pg from 'pg';
import { isUuid } from '../platform/ids.ts';
import { createKey, LONGEST_USER_ID, listKeys, type Role, revokeKey } from '../platform/postgres/api-keys.ts';
import { openClient } from '../platform/postgres/client.ts';
import { CliError, cliConfig, postgresUri, runTool, timeOf } from './target.ts';

async function withDatabase<T>(work: (client: Pick<pg.Client, 'query'>) => Promise<T>): Promise<T> {
  const uri = postgresUri(cliConfig());
  const client = await openClient({ uri, name: 'keys', connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 });
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function userOf(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('must not be empty');
  if ([...text].length > LONGEST_USER_ID)
    throw new InvalidArgumentError(`must not be longer than ${LONGEST_USER_ID} characters`);
  return text;
}
function roleOf(text: string): Role {
  if (text !== 'user' && text !== 'admin') throw new InvalidArgumentError('must be user or admin');
  return text;
}
function futureTime(text: string): string {
  const time = timeOf(text);
  if (time === null || Date.parse(time) <= Date.now())
    throw new InvalidArgumentError('must be a time in the future, e.g. 2027-01-31T00:00:00Z');
  return time;
}

const program = new Command('keys').description('API keys').showHelpAfterError();
program
  .command('create')
  .description('make a key')
  .requiredOption('--user <user>', 'the user it acts for', userOf)
  .option('--role <role>', 'user or admin', roleOf, 'user')
  .option('--name <name>', 'what it is for', '')
  .option('--expires <time>', 'RFC 3339; without it the key does not expire', futureTime)
  .action((options: { user: string; role: Role; name: string; expires?: string }) =>
    withDatabase(async (client) => {
      const spec = { userId: options.user, role: options.role, name: options.name, expiresAt: options.expires ?? null };
      const { key, keyId } = await createKey(client, spec);
      console.log(`Key ${keyId} for ${options.user} (${options.role}). It is not shown again:`);
      console.log(key);
    }),
  );
program
  .command('list')
  .description('all keys, without their secrets')
  .action(() =>
    withDatabase(async (client) => {
      const keys = await listKeys(client);
      console.table(
        keys.map(({ keyId, userId, role, name, createdAt, expiresAt, revokedAt }) => ({
          keyId,
          userId,
          role,
          name,
          createdAt,
          state: revokedAt ? `revoked ${revokedAt}` : expiresAt ? `until ${expiresAt}` : 'active',
        })),
      );
    }),
  );
program
  .command('revoke')
  .description('end a key; services take notice within seconds')
  .argument('<id>', 'as shown by list')
  .action((id: string) =>
    withDatabase(async (client) => {
      if (!isUuid(id) || !(await revokeKey(client, id))) {
        throw new CliError(`There is no active key ${id}: see "npm run keys -- list".`);
      }
      console.log(`Key ${id} is revoked.`);
    }),
  );

await runTool(async () => {
  await program.parseAsync();
});
