/** deployment/docker/dashboard-login.sql as compose runs it with psql. */
import pg from 'pg';
import { readText } from './compose-file.ts';

/** For a login of that name: roles belong to the whole server, and files are checked beside each other on one. */
export const dashboardLogin = (login: string, password: string): string =>
  readText('deployment/docker/dashboard-login.sql')
    .replaceAll(/\bgrafana\b/g, pg.escapeIdentifier(login))
    .replace(":'password'", pg.escapeLiteral(password));
