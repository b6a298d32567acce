/** The real Helm over the chart, and what it renders. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CHART, ROOT } from './chart-values.ts';
import { helmCommand, yaml } from './tools.ts';

export type Said = { status: number | null; said: string };

/**
 * Helm's standard output on success, all that it said otherwise; `input` is what `-` reads. Nothing of this user's own Helm is
 * read or written.
 */
export function helm(args: string[], input = ''): Said {
  const home = join(ROOT, '.cache/helm');
  mkdirSync(home, { recursive: true });
  const { status, stdout, stderr, error } = spawnSync(helmCommand(), args, {
    cwd: ROOT,
    encoding: 'utf8',
    input,
    maxBuffer: 64 * 1024 * 1024,
    env: { PATH: process.env['PATH'], HOME: home },
  });
  if (error) throw error;
  return { status, said: status === 0 ? stdout : `${stdout}${stderr}` };
}

export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: each kind has its own; manifests.check.ts checks the types
  spec?: any;
  data?: Record<string, string>;
  [field: string]: unknown;
};

/**
 * Every manifest of a release named `prompts` in namespace `prod`, with a file of values and, merged over it, those in
 * `input`. Throws with what Helm said.
 */
export function render(file: string, input = '{}'): Manifest[] {
  const values = ['--values', file, '--values', '-'];
  const { status, said } = helm(['template', 'prompts', CHART, '--namespace', 'prod', ...values], input);
  if (status !== 0) throw new Error(said);
  return yaml()
    .parseAllDocuments(said)
    .map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as Manifest;
    })
    .filter(Boolean);
}

export const VALUES = ['minimal', 'sentinel', 'everything'] as const;
export type ValuesName = (typeof VALUES)[number];
export const valuesFile = (name: ValuesName): string => `${CHART}/ci/${name}-values.yaml`;

const rendered = new Map<string, Manifest[]>();
/** As `render`, once for each file of the chart's `ci` folder. */
export function manifestsOf(name: ValuesName): Manifest[] {
  const known = rendered.get(name) ?? render(valuesFile(name));
  rendered.set(name, known);
  return known;
}

export const ofKind = (manifests: Manifest[], kind: string): Manifest[] => manifests.filter((one) => one.kind === kind);

/** The one of that kind whose name ends so. */
export function find(manifests: Manifest[], kind: string, ending = ''): Manifest {
  const those = ofKind(manifests, kind).filter(({ metadata }) => metadata.name.endsWith(ending));
  if (those.length !== 1) throw new Error(`${those.length} of kind ${kind} ending with "${ending}"`);
  return those[0]!;
}

type Probe = { httpGet: { path: string; port: string } };
export type Container = {
  name: string;
  image: string;
  command: string[];
  env: { name: string; value?: string; valueFrom?: { secretKeyRef: { name: string; key: string } } }[];
  ports?: { name: string; containerPort: number }[];
  volumeMounts: { name: string; mountPath: string }[];
  resources: { requests?: Record<string, string>; limits?: Record<string, string> };
  securityContext: Record<string, unknown>;
  lifecycle?: { preStop: { sleep: { seconds: number } } };
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
};
export type Pod = {
  owner: Manifest;
  component: string;
  labels: Record<string, string>;
  spec: Manifest['spec'];
  container: Container;
};

/** Whatever has a pod template; each pod has one container. */
export const podsOf = (manifests: Manifest[]): Pod[] =>
  manifests
    .filter((one) => one.spec?.template?.spec?.containers)
    .map((owner) => {
      const { metadata, spec } = owner.spec.template;
      const labels = metadata.labels as Record<string, string>;
      return {
        owner,
        component: labels['app.kubernetes.io/component']!,
        labels,
        spec,
        container: spec.containers[0] as Container,
      };
    });
