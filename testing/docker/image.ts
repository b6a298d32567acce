/** The image without an engine: its build context as the ignore file leaves it, and the files that its build makes of it. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readText } from './compose-file.ts';
import { ROOT } from './tools.ts';

/** Copies what `COPY . ./` would see, and links the packages in place of `npm ci`. */
export function copyContext(folder: string): void {
  const ignores = ignoreRules(readText('deployment/docker/Dockerfile.dockerignore'));
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of listed.split('\n')) {
    if (file === '' || ignores(file) || !existsSync(join(ROOT, file))) continue;
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
}

/** `*`, `!path` and `**` + `/pattern` lines, the last that matches counts. Throws on any other. */
function ignoreRules(text: string): (file: string) => boolean {
  const rules = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      if (line === '*') return { ignored: true, matches: () => true };
      if (line.startsWith('!')) {
        const path = line.slice(1);
        return { ignored: false, matches: (file: string) => file === path || file.startsWith(`${path}/`) };
      }
      if (!line.startsWith('**/')) throw new Error(`not understood in the ignore file: ${line}`);
      const name = new RegExp(`^${line.slice(3).replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
      return { ignored: true, matches: (file: string) => file.split('/').some((part) => name.test(part)) };
    });
  return (file) => rules.findLast(({ matches }) => matches(file))?.ignored ?? false;
}

/** Runs the build's own command on the context; `folder` is what the image has under /app. */
export function assemble(context: string, folder: string): void {
  const [, script = ''] = /^RUN node (\S+) \/app$/m.exec(readText('deployment/docker/Dockerfile')) ?? [];
  execFileSync(process.execPath, [join(context, script), folder], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Bytes by the first part of the path, the largest first. */
export function sizes(folder: string): [string, number][] {
  const sums = new Map<string, number>();
  for (const file of globSync('**/*', { cwd: folder })) {
    const entry = statSync(join(folder, file));
    const [first = ''] = file.split('/');
    if (entry.isFile()) sums.set(first, (sums.get(first) ?? 0) + entry.size);
  }
  return [...sums].sort(([, a], [, b]) => b - a);
}
