/** An upgrade in two steps: whose pods are held stay as they are, and nothing else is another. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Manifest, manifestsOf, podsOf, render, valuesFile } from './helm.ts';

type Workload = { component: string; owner: Manifest };
const workloads = (manifests: Manifest[]): Workload[] =>
  podsOf(manifests).filter(({ component }) => component !== 'migrate');

/** More pods than any values ask for. */
const MANY = 10_000;

/** A paused Deployment replaces no pod; of a StatefulSet those below its partition stay. */
const isHeld = ({ owner: { kind, spec } }: Workload): boolean =>
  kind === 'StatefulSet' ? spec.updateStrategy.rollingUpdate.partition > MANY : spec.paused === true;

/** Without what holds it. */
function released(manifests: Manifest[]): Manifest[] {
  const copy = structuredClone(manifests);
  for (const { owner } of workloads(copy)) {
    delete owner.spec.paused;
    if (owner.kind === 'StatefulSet') owner.spec.updateStrategy.rollingUpdate.partition = 0;
  }
  return copy;
}

// Workers with volumes are a StatefulSet, those without a Deployment.
for (const name of ['minimal', 'sentinel'] as const) {
  describe(`with ${name} values`, () => {
    const free = manifestsOf(name);

    test('an upgrade replaces all, unless it is told otherwise', () => {
      assert.deepEqual(workloads(free).filter(isHeld), []);
    });

    for (const hold of [
      ['worker', 'command-api'],
      ['projector', 'query-api'],
      ['query-api', 'worker', 'command-api'],
    ]) {
      test(`one that holds ${hold.join(', ')} leaves these alone as they are`, () => {
        const manifests = render(valuesFile(name), JSON.stringify({ rollout: { hold } }));
        const held = workloads(manifests).filter(isHeld);
        assert.deepEqual(held.map(({ component }) => component).sort(), [...hold].sort());
        assert.deepEqual(released(manifests), free);
      });
    }
  });
}
