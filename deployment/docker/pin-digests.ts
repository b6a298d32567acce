/**
 * `npm run pin-digests`: writes behind every tag of the Dockerfile and the compose file the digest that the registry
 * gives for it, asked with `docker buildx imagetools inspect`. Nothing is written unless every digest was fetched.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { images, withDigests } from './images.ts';

const FILES = ['Dockerfile', 'docker-compose.yml'];
const [folder = import.meta.dirname] = process.argv.slice(2);
const texts = FILES.map((name) => ({ file: join(folder, name), text: readFileSync(join(folder, name), 'utf8') }));
const wanted = [...new Set(texts.flatMap(({ text }) => images(text)))];

const digests = new Map<string, string>();
for (const image of wanted) {
  const digest = fetchDigest(image);
  if (digest === null) {
    console.error('Nothing was changed.');
    process.exit(1);
  }
  digests.set(image, digest);
  console.log(`${image} ${digest}`);
}
for (const { file, text } of texts) writeFileSync(file, withDigests(text, digests));

function fetchDigest(image: string): string | null {
  const args = ['buildx', 'imagetools', 'inspect', image, '--format', '{{println .Manifest.Digest}}'];
  const { status, stdout, stderr, error } = spawnSync('docker', args, { encoding: 'utf8' });
  const digest = stdout?.trim() ?? '';
  if (status === 0 && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  console.error(`${image}: no digest: ${error?.message ?? (stderr.trim() || `docker said "${digest}"`)}`);
  return null;
}
