/** What the chart makes fits together: selectors, references, ports, times, and what no pod may do. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { commandOf } from '../kit/npm-scripts.ts';
import { CHART, ROOT, readSchema, type Schema } from './chart-values.ts';
import { helm, type Manifest, manifestsOf, ofKind, type Pod, podsOf, VALUES, valuesFile } from './helm.ts';
import { yaml } from './tools.ts';

type Labels = Record<string, string>;
const matches = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);
const names = (manifests: Manifest[], kind: string): string[] =>
  ofKind(manifests, kind).map(({ metadata }) => metadata.name);
const services = ['command-api', 'projector', 'query-api', 'worker'];
const isService = ({ component }: Pod): boolean => services.includes(component);

for (const name of VALUES) {
  const manifests = manifestsOf(name);
  const pods = podsOf(manifests);

  describe(`with ${name} values`, () => {
    test('the four services are there, and each selector means the pods of one component', () => {
      assert.deepEqual(
        pods
          .filter(isService)
          .map(({ component }) => component)
          .sort(),
        services,
      );
      const selectors = [
        ...['Deployment', 'StatefulSet', 'PodDisruptionBudget'].flatMap((kind) =>
          ofKind(manifests, kind).map(({ metadata, spec }) => [metadata.name, spec.selector.matchLabels] as const),
        ),
        ...ofKind(manifests, 'Service').map(({ metadata, spec }) => [metadata.name, spec.selector] as const),
        ...ofKind(manifests, 'NetworkPolicy').map(
          ({ metadata, spec }) => [metadata.name, spec.podSelector.matchLabels] as const,
        ),
      ];
      assert.ok(selectors.length > 12);
      for (const [owner, selector] of selectors) {
        const selected = pods.filter(({ labels }) => matches(selector as Labels, labels));
        assert.deepEqual(
          selected.map(({ component }) => owner.endsWith(`-${component}`)),
          [true],
          owner,
        );
      }
    });

    test('every pod has a policy, and all but the migration a disruption budget', () => {
      const components = pods.map(({ component }) => component).sort();
      const budgeted = components.filter((component) => component !== 'migrate');
      assert.equal(names(manifests, 'NetworkPolicy').length, components.length);
      assert.equal(names(manifests, 'PodDisruptionBudget').length, budgeted.length);
    });

    test('what is scaled has no number of its own, and is there', () => {
      const scalers = [...ofKind(manifests, 'HorizontalPodAutoscaler'), ...ofKind(manifests, 'ScaledObject')];
      const scaled = scalers.map(({ spec }) => `${spec.scaleTargetRef.kind} ${spec.scaleTargetRef.name}`);
      for (const { owner } of pods.filter(({ component }) => component !== 'migrate')) {
        const isScaled = scaled.includes(`${owner.kind} ${owner.metadata.name}`);
        assert.equal(owner.spec.replicas === undefined, isScaled, owner.metadata.name);
      }
      const owners = pods.map(({ owner }) => `${owner.kind} ${owner.metadata.name}`);
      assert.deepEqual(
        scaled.filter((target) => !owners.includes(target)),
        [],
      );
    });

    test('what is referred to is made by the chart, or comes from outside by design', () => {
      for (const { spec, component } of pods) {
        const maps = spec.volumes.flatMap((volume: { configMap?: { name: string } }) => volume.configMap?.name ?? []);
        for (const map of maps) assert.ok(names(manifests, 'ConfigMap').includes(map), map);
        // The migration runs before anything that the chart makes is there.
        const account = component === 'migrate' ? undefined : names(manifests, 'ServiceAccount')[0];
        assert.equal(spec.serviceAccountName, account, component);
        if (component === 'migrate') assert.deepEqual(maps, []);
      }
      const backends = [
        ...ofKind(manifests, 'Ingress').flatMap(({ spec }) =>
          spec.rules.flatMap((rule: { http: { paths: { backend: { service: { name: string; port: object } } }[] } }) =>
            rule.http.paths.map(({ backend }) => [backend.service.name, backend.service.port] as const),
          ),
        ),
        ...ofKind(manifests, 'HTTPRoute').flatMap(({ spec }) =>
          spec.rules.flatMap((rule: { backendRefs: { name: string; port: number }[] }) =>
            rule.backendRefs.map(({ name: service, port }) => [service, { number: port }] as const),
          ),
        ),
      ];
      for (const [service, port] of backends) {
        const found = ofKind(manifests, 'Service').find(({ metadata }) => metadata.name === service);
        const ports = (found?.spec.ports ?? []) as { name: string; port: number }[];
        const { name: portName, number } = port as { name?: string; number?: number };
        assert.ok(
          ports.some((one) => one.name === portName || one.port === number),
          service,
        );
      }
      for (const { spec } of ofKind(manifests, 'ScaledObject')) {
        const [trigger] = spec.triggers;
        assert.ok(names(manifests, 'TriggerAuthentication').includes(trigger.authenticationRef.name));
      }
      assert.deepEqual(names(manifests, 'Secret'), [], 'secrets come from outside');
    });

    test('ports are known by the names that probes, Services and policies use', () => {
      for (const { container, component } of pods) {
        const ports = (container.ports ?? []).map((port) => port.name);
        const probed = [container.startupProbe, container.livenessProbe, container.readinessProbe].flatMap(
          (probe) => probe?.httpGet.port ?? [],
        );
        assert.equal(probed.length, component === 'migrate' ? 0 : component === 'gateway' ? 2 : 3, component);
        for (const port of probed) assert.ok(ports.includes(port), `${component} ${port}`);
        for (const variable of container.env) {
          if (variable.name === 'ADMIN_PORT')
            assert.deepEqual(
              container.ports?.find((port) => port.name === 'admin')?.containerPort,
              Number(variable.value),
            );
          if (variable.name === 'PORT')
            assert.deepEqual(
              container.ports?.find((port) => port.name === 'http')?.containerPort,
              Number(variable.value),
            );
        }
        const policy = ofKind(manifests, 'NetworkPolicy').find(({ spec }) =>
          matches(spec.podSelector.matchLabels, { ...pods.find((pod) => pod.component === component)!.labels }),
        );
        const opened = ((policy?.spec.ingress ?? []) as { ports: { port: string }[] }[]).flatMap((rule) =>
          rule.ports.map(({ port }) => port),
        );
        assert.deepEqual([...new Set(opened)].sort(), [...ports].sort(), `${component} is reached on its ports`);
      }
      for (const service of ofKind(manifests, 'Service')) {
        const selected = pods.find(({ labels }) => matches(service.spec.selector, labels))!;
        for (const { targetPort } of service.spec.ports as { targetPort: string }[])
          assert.ok(
            selected.container.ports?.some((port) => port.name === targetPort),
            service.metadata.name,
          );
      }
    });

    test('a pod is killed only after the service had its time to end, and an API has left its Service before it closes', () => {
      for (const { spec, container, component } of pods.filter(isService)) {
        const secondsOf = (variable: string) => Number(container.env.find(({ name }) => name === variable)?.value ?? 0);
        const [grace, delay] = [secondsOf('SHUTDOWN_GRACE_SECONDS'), secondsOf('SHUTDOWN_DELAY_SECONDS')];
        const preStop = container.lifecycle?.preStop.sleep.seconds ?? 0;
        const isApi = component.endsWith('-api');
        // New connections go elsewhere by the end of the first, those that the gateway held have ended by that of the second.
        assert.ok(isApi ? preStop >= 5 && delay >= 5 : preStop + delay === 0, component);
        assert.ok(delay < grace, component);
        assert.equal(spec.terminationGracePeriodSeconds, preStop + grace + 5, component);
      }
    });

    test('an API stays in service while only Redis is away; the others say what they miss', () => {
      for (const { container, component } of pods.filter(isService)) {
        const path = component.endsWith('-api') ? '/readyz?exclude=redis' : '/readyz';
        assert.equal(container.readinessProbe?.httpGet.path, path, component);
      }
    });

    test('no pod has more rights than it needs, nor variables of the namespace’s Services', () => {
      for (const { spec, container, component } of pods) {
        assert.equal(spec.automountServiceAccountToken, false, component);
        // Or a Service named `postgres` would set POSTGRES_PORT to tcp://….
        assert.equal(spec.enableServiceLinks, false, component);
        const { runAsNonRoot, seccompProfile, runAsUser } = spec.securityContext;
        assert.deepEqual([runAsNonRoot, seccompProfile, runAsUser > 0], [true, { type: 'RuntimeDefault' }, true]);
        assert.deepEqual(container.securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        assert.equal(spec.containers.length, 1, component);
        assert.ok(container.resources.requests?.['cpu'] && container.resources.limits?.['memory'], component);
      }
    });

    test('what is started is there', () => {
      for (const { container, component } of pods.filter((pod) => pod.component !== 'gateway')) {
        const files = container.command.filter((part) => part.endsWith('.js'));
        assert.equal(files.length, component === 'migrate' ? 1 : 2);
        for (const file of files) assert.ok(existsSync(join(ROOT, file.replace(/\.js$/, '.ts'))), file);
      }
    });

    test('services are started as npm does', () => {
      for (const { container, component } of pods.filter(isService)) {
        const built = commandOf(`start:${component}`).map((word) => word.replace(/\.ts$/, '.js'));
        assert.deepEqual(container.command, built);
      }
    });

    test('migrations come before everything else of an install or upgrade, and old pods go on meanwhile', () => {
      const { owner, spec } = pods.find(({ component }) => component === 'migrate')!;
      assert.equal(owner.kind, 'Job');
      assert.equal(owner.metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade');
      assert.equal(spec.restartPolicy, 'Never');
      const weightOf = ({ metadata }: Manifest) => Number(metadata.annotations?.['helm.sh/hook-weight']);
      const hooks = manifests.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook']);
      assert.deepEqual(
        hooks.toSorted((a, b) => weightOf(a) - weightOf(b)).map(({ kind, metadata }) => [kind, metadata.name]),
        // What it may reach is opened first, as the new values say.
        ['NetworkPolicy', 'Job'].map((kind) => [kind, owner.metadata.name]),
      );
      for (const { spec: deployment, metadata } of ofKind(manifests, 'Deployment'))
        assert.deepEqual(deployment.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 }, metadata.name);
    });

    test('a worker’s spool lies on a volume', () => {
      const { owner, spec, container } = pods.find(({ component }) => component === 'worker')!;
      const mount = container.volumeMounts.find((one) => one.name === 'spool')!;
      const dir = container.env.find((variable) => variable.name === 'SPOOL_DIR')?.value;
      assert.ok(dir?.startsWith(`${mount.mountPath}/`), dir);
      const volumes = spec.volumes.filter((volume: { name: string }) => volume.name === 'spool');
      if (owner.kind === 'StatefulSet') {
        assert.deepEqual(volumes, []);
        assert.equal(owner.spec.volumeClaimTemplates[0].metadata.name, 'spool');
        assert.deepEqual(owner.spec.persistentVolumeClaimRetentionPolicy, {
          whenDeleted: 'Retain',
          whenScaled: 'Retain',
        });
      } else {
        assert.equal(owner.kind, 'Deployment');
        assert.ok(volumes[0].emptyDir.sizeLimit);
      }
    });
  });
}

describe('the chart', () => {
  test('is of the version that the code is of', () => {
    const chart = yaml().parse(readFileSync(join(ROOT, CHART, 'Chart.yaml'), 'utf8')) as Record<string, string>;
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    assert.deepEqual([chart['version'], chart['appVersion']], [version, version]);
  });

  test('has the defaults that its schema says, and no value that is not described', () => {
    const values = yaml().parse(readFileSync(join(ROOT, CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;
    const said = (schema: Schema): unknown =>
      'default' in schema
        ? schema.default
        : Object.fromEntries(Object.entries(schema.properties!).map(([name, property]) => [name, said(property)]));
    const { global: _, ...properties } = readSchema().properties!;
    assert.deepEqual(values, said({ properties }));
  });

  test('tells how to make a key and reach the entry', () => {
    const { status, said } = helm([
      'install',
      'prompts',
      CHART,
      '--dry-run=client',
      '--values',
      valuesFile('everything'),
    ]);
    assert.equal(status, 0, said);
    assert.match(said, /exec deploy\/prompts-command-api -- node cli\/keys\.js create --user you --role admin/);
    assert.match(said, /The entry is https:\/\/prompts\.example\n/);
  });
});
