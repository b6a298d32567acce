/** Every manifest that the chart can make is one that Kubernetes, KEDA and the operators know, field by field. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHART, ROOT } from './chart-values.ts';
import { find, helm, type Manifest, manifestsOf, VALUES, valuesFile } from './helm.ts';
import { loadTool } from './tools.ts';

/** Where a kind's type and its model come from. */
const PACKAGES: Record<string, string> = {
  'keda.sh': '@kubernetes-models/keda',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
};
const moduleOf = ({ apiVersion, kind }: Manifest): string => {
  const group = apiVersion.split('/')[0]!;
  return `${PACKAGES[group] ?? 'kubernetes-models'}/${apiVersion}/${kind}`;
};

const WORK = join(import.meta.dirname, 'tools/.manifests');
before(() => mkdirSync(WORK, { recursive: true }));
after(() => rmSync(WORK, { recursive: true, force: true }));

/** What the compiler says of the manifests, one line each: unknown fields, missing ones, wrong types. */
function compile(manifests: Manifest[]): string[] {
  const file = join(WORK, `${manifests.length}-${manifests[0]!.metadata.name}.ts`);
  const declared = manifests.map(
    (manifest, i) =>
      `import type { I${manifest.kind} as Kind${i} } from '${moduleOf(manifest)}';\nexport const manifest${i}: Kind${i} = ${JSON.stringify(manifest)};`,
  );
  writeFileSync(file, `${declared.join('\n')}\n`);
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'esnext', '--moduleResolution', 'bundler'];
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '--ignoreConfig', ...options, file], { encoding: 'utf8' });
  rmSync(file);
  return stdout.split('\n').filter((line) => line.includes('error TS'));
}

type Models = Record<string, new (data: unknown) => { validate: () => void }>;

/** What the models' own JSON Schemas say. */
async function validate(manifest: Manifest): Promise<string[]> {
  const models = (await loadTool(moduleOf(manifest))) as Models;
  try {
    new models[manifest.kind]!(manifest).validate();
    return [];
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`];
  }
}

describe('Helm', () => {
  for (const name of VALUES) {
    test(`lints the chart with ${name} values`, () => {
      const { status, said } = helm(['lint', '--strict', CHART, '--values', valuesFile(name)]);
      assert.equal(status, 0, said);
    });
  }

  test('packages it, without the values that only check it', () => {
    const { status, said } = helm(['package', CHART, '--destination', WORK]);
    assert.equal(status, 0, said);
    const listed = spawnSync('tar', ['-tzf', join(WORK, 'prompt-orchestrator-0.1.0.tgz')], { encoding: 'utf8' });
    assert.equal(listed.status, 0, listed.stderr);
    const files = listed.stdout.trim().split('\n');
    for (const file of [
      'values.schema.json',
      'files/open-work.sql',
      'files/haproxy.cfg',
      'files/variables.json',
      'files/rules/alerts.yml',
      'files/dashboards/service.json',
    ])
      assert.ok(files.includes(`prompt-orchestrator/${file}`), file);
    assert.ok(!files.some((file) => file.includes('/ci/')));
  });
});

describe('every manifest', () => {
  for (const name of VALUES) {
    test(`of ${name} values has known fields of the right types`, async () => {
      const manifests = manifestsOf(name);
      assert.ok(manifests.length > 10);
      assert.deepEqual(compile(manifests), []);
      assert.deepEqual((await Promise.all(manifests.map(validate))).flat(), []);
    });
  }

  test('that is spoilt is found out', async () => {
    const spoil = (kind: string, ending: string, change: (manifest: Manifest) => void): Manifest => {
      const copy = structuredClone(find(manifestsOf('everything'), kind, ending));
      change(copy);
      return copy;
    };
    const unknown = [
      spoil('Deployment', '-command-api', ({ spec }) => {
        spec.template.spec.containers[0].imagee = 'x';
      }),
      spoil('ScaledObject', '', ({ spec }) => {
        spec.minReplicas = 1;
      }),
      spoil('HTTPRoute', '', ({ spec }) => {
        spec.rules[0].matches[0].verb = 'GET';
      }),
      spoil('PodMonitor', '', ({ spec }) => {
        spec.podMetricsEndpoints[0].intervall = '15s';
      }),
      spoil('PrometheusRule', '', ({ spec }) => {
        spec.groups[0].rules[0].fore = '2m';
      }),
    ];
    for (const manifest of unknown) assert.notDeepEqual(compile([manifest]), [], manifest.kind);
    const wrong = [
      spoil('Deployment', '-projector', ({ spec }) => {
        spec.replicas = 'two';
      }),
      spoil('ScaledObject', '', ({ spec }) => {
        delete spec.triggers;
      }),
    ];
    for (const manifest of wrong) {
      assert.notDeepEqual(compile([manifest]), [], manifest.kind);
      assert.notDeepEqual(await validate(manifest), [], manifest.kind);
    }
  });
});
