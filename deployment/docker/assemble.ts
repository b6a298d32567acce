/**
 * Puts the files that an image needs into a folder: `node deployment/docker/assemble.ts OUT`. Needs the packages that
 * `npm ci` installs; of these only the ones that production needs are taken, as the lock file marks them.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

const root = join(import.meta.dirname, '../..');
/** What no program reads: types, source maps, sources of types, pages. Licences stay. */
const NOT_RUN = /\.(d\.[cm]?ts|[cm]?ts|map|flow|tsbuildinfo|markdown|md)$/;
const LICENCE = /^(licen[cs]e|notice|copying)/i;

type LockFile = { packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }> };

const readJson = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T;

const [out] = process.argv.slice(2);
if (!out) throw new Error('give the folder to write to');
const target = resolve(out);
rmSync(target, { recursive: true, force: true });

runNode('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', target, '--sourceMap', 'false');
const { include } = readJson<{ include: string[] }>(join(root, 'tsconfig.build.json'));
for (const file of globSync(`{${include.join(',')}}/**/*.{sql,lua}`, { cwd: root })) copyTo(file, file);
runNode('console/build.mjs');
for (const file of globSync('console/dist/*', { cwd: root })) copyTo(file, file);
for (const file of globSync('migrations/*.sql', { cwd: root })) copyTo(file, join('db', file));
copyTo('LICENSE', 'LICENSE');
copyTo('deployment/docker/healthcheck.mjs', 'healthcheck.mjs');
const { name, version, type, license } = readJson<Record<string, string>>(join(root, 'package.json'));
writeFileSync(join(target, 'package.json'), `${JSON.stringify({ name, version, type, license }, null, 2)}\n`);
copyPackages();

function runNode(...args: string[]): void {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${args[0]} failed`);
}

function copyTo(file: string, place: string): void {
  mkdirSync(dirname(join(target, place)), { recursive: true });
  copyFileSync(join(root, file), join(target, place));
}

/** As `npm ci --omit=dev` would: what is optional and made for another machine is not there. */
function copyPackages(): void {
  const { packages } = readJson<LockFile>(join(root, 'package-lock.json'));
  for (const [path, entry] of Object.entries(packages)) {
    if (path === '' || entry.dev) continue;
    if (!existsSync(join(root, path))) {
      if (entry.optional || entry.devOptional) continue;
      throw new Error(`${path} is not installed: run npm ci first`);
    }
    const own = join(root, path);
    // Packages inside it have entries of their own in the lock file.
    const filter = (file: string) =>
      file !== join(own, 'node_modules') && (!NOT_RUN.test(file) || LICENCE.test(basename(file)));
    cpSync(own, join(target, path), { recursive: true, dereference: true, filter });
  }
}
