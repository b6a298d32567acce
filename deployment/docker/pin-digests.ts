/**
 * `npm run pin-digests`: writes behind every tag of the Dockerfile, the compose file and the chart's values the digest that
 * the registry gives for it, asked with `docker buildx imagetools inspect`. Nothing is written unless every digest was
 * fetched.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { images, withDigests } from './images.ts';

const CHART = 'deployment/helm/prompt-orchestrator';
const FILES = [
  'deployment/docker/Dockerfile',
  'deployment/docker/docker-compose.yml',
  `${CHART}/values.yaml`,
  `${CHART}/values.schema.json`,
];
const [root = join(import.meta.dirname, '../..')] = process.argv.slice(2);
const texts = FILES.map((name) => ({ file: join(root, name), text: readFileSync(join(root, name), 'utf8') }));
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
console.log('The chart has new defaults: "npm run docs" writes their reference.');

function fetchDigest(image: string): string | null {
  const args = ['buildx', 'imagetools', 'inspect', image, '--format', '{{println .Manifest.Digest}}'];
  const { status, stdout, stderr, error } = spawnSync('docker', args, { encoding: 'utf8' });
  const digest = stdout?.trim() ?? '';
  if (status === 0 && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  console.error(`${image}: no digest: ${error?.message ?? (stderr.trim() || `docker said "${digest}"`)}`);
  return null;
}
