/** The compose file without an engine: its schema, and that what it names is there and fits together. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadConfig } from '../../platform/config/load.ts';
import type { Service } from '../../platform/config/variables.ts';
import { readiness } from '../../platform/readiness.ts';
import { ANSWER_WITHIN_MS } from '../../platform/within.ts';
import { commandOf } from '../kit/npm-scripts.ts';
import {
  COMPOSE_FILE,
  environmentFiles,
  environmentOf,
  HOW_TO,
  readCompose,
  readText,
  readYaml,
} from './compose-file.ts';
import { lint, ROOT, type Verdict } from './tools.ts';

const SERVICES = ['command-api', 'query-api', 'worker', 'projector'] as const;
const compose = readCompose();
const files = environmentFiles();
const { version } = JSON.parse(readText('package.json')) as { version: string };
const configOf = (name: Service) => loadConfig(name, environmentOf(compose.services[name]!, files));
const uriOf = (text: string | null) => new URL(text ?? '');

const work = mkdtempSync(join(tmpdir(), 'orchestrator-compose-'));
after(() => rmSync(work, { recursive: true, force: true }));

function lintCompose(file: string): Verdict {
  const config = join(import.meta.dirname, 'tools/dclint.json');
  return lint('dclint/bin/dclint.cjs', '--config', config, '--max-warnings', '0', '--no-color', file);
}

describe('the compose file', () => {
  test('is one by its schema, and has no fault that the linter knows', () => {
    const { status, said } = lintCompose(COMPOSE_FILE);
    assert.equal(status, 0, said);
  });

  test('would not be one with a key that nobody knows', () => {
    const broken = join(work, 'docker-compose.yml');
    writeFileSync(broken, readText(COMPOSE_FILE).replace('    image: haproxy', '    imagee: haproxy'));
    const { status, said } = lintCompose(broken);
    assert.equal(status, 1);
    assert.match(said, /services\/gateway.*must NOT have additional properties/);
  });

  test('names every image by an exact tag, its own by the version of the project', () => {
    const own = `prompt-orchestrator:${version}`;
    for (const [name, { image, build }] of Object.entries(compose.services)) {
      if (image === own) assert.equal(Boolean(build), name === 'migrate', `${name}: built once, by migrate`);
      else assert.match(image, /:v?\d+\.\d+(\.\d+)?(-[\w.]+)?(@sha256:[0-9a-f]{64})?$/, name);
    }
    for (const name of SERVICES) assert.equal(compose.services[name]?.image, own);
  });

  test('mounts files that are there, volumes that are declared, and waits for services that are named', () => {
    const used = new Set<string>();
    for (const [name, service] of Object.entries(compose.services)) {
      for (const mount of service.volumes ?? []) {
        const [source = ''] = mount.split(':');
        if (!source.startsWith('.')) used.add(source);
        else assert.ok(existsSync(join(ROOT, dirname(COMPOSE_FILE), source)), `${name} mounts ${source}`);
      }
      const awaited = Array.isArray(service.depends_on) ? service.depends_on : Object.keys(service.depends_on ?? {});
      for (const other of awaited) assert.ok(other in compose.services, `${name} waits for ${other}`);
    }
    assert.deepEqual([...used].sort(), Object.keys(compose.volumes).sort());
  });

  test('has the health of all that stays asked, but where the image has nothing that could', () => {
    const unasked = Object.entries(compose.services).filter(
      ([, { restart, healthcheck }]) => restart && (!healthcheck || healthcheck.disable),
    );
    assert.deepEqual(
      unasked.map(([name]) => name),
      ['otel-collector'],
    );
  });

  test('publishes the entry, and all else to this machine alone', () => {
    const published = Object.entries(compose.services).flatMap(([name, { ports = [] }]) =>
      ports.map((port) => `${name} ${port}`),
    );
    assert.deepEqual(published.sort(), [
      'gateway 8080:8080',
      'grafana 127.0.0.1:3000:3000',
      'jaeger 127.0.0.1:16686:16686',
      'prometheus 127.0.0.1:9090:9090',
    ]);
    const { environment = {} } = compose.services['grafana']!;
    assert.deepEqual(
      [environment['GF_SECURITY_ADMIN_USER'], environment['GF_SECURITY_ADMIN_PASSWORD']],
      ['admin', 'secret'],
    );
  });

  test('starts the services as npm does', () => {
    for (const name of SERVICES) {
      const built = commandOf(`start:${name}`).map((word) => word.replace(/\.ts$/, '.js'));
      assert.deepEqual(compose.services[name]!.command, built, name);
    }
  });

  test('runs the services without rights, on a root that cannot be written, and lets them end in time', () => {
    for (const name of SERVICES) {
      const { read_only, cap_drop, stop_grace_period = '' } = compose.services[name]!;
      assert.deepEqual([read_only, cap_drop], [true, ['ALL']], name);
      assert.ok(Number.parseInt(stop_grace_period, 10) > configOf(name).SHUTDOWN_GRACE_SECONDS, name);
    }
  });
});

describe('an API that is told to stop', () => {
  const gateway = readText('deployment/docker/haproxy.cfg');
  const secondsOf = (setting: RegExp) => Number(setting.exec(gateway)?.[1]);

  test('serves on until the gateway has heard of it, though Postgres says nothing', () => {
    const heardAfter = secondsOf(/^ {4}default-server check inter (\d+)s /m) + ANSWER_WITHIN_MS / 1_000;
    for (const name of ['command-api', 'query-api'] as const) {
      const { SHUTDOWN_DELAY_SECONDS: delay } = configOf(name);
      assert.ok(delay > heardAfter, `${name}: ${delay} s, and the gateway hears of it within ${heardAfter} s`);
    }
  });

  test('is known by a word that it says then alone, and that the gateway waits for', async () => {
    assert.ok(secondsOf(/^ {4}timeout check (\d+)s$/m) > ANSWER_WITHIN_MS / 1_000);
    const [, word = 'none'] = /^ {4}http-check expect error-status L7OKC ! string '(".+")'$/m.exec(gateway) ?? [];
    const away = async () => assert.fail('away');
    const health = (stopping: AbortSignal) =>
      readiness({
        pool: { query: away },
        redis: { ping: away },
        redisFault: () => null,
        replicas: new Map(),
        stopping,
      } as never)();
    assert.ok(!JSON.stringify(await health(new AbortController().signal)).includes(word));
    assert.ok(JSON.stringify(await health(AbortSignal.abort())).includes(word));
  });
});

describe('.api_env and .worker_env as they are', () => {
  test('are the two files that the how-to prints', () => {
    assert.deepEqual(Object.keys(files).sort(), ['.api_env', '.worker_env']);
  });

  test('configure all services and the migration, with what compose adds', () => {
    const [api, reads, worker, projector] = SERVICES.map(configOf);
    assert.equal(api!.REDIS_PUB_STREAM_ID, worker!.REDIS_SUB_STREAM_ID);
    assert.equal(worker!.REDIS_PUB_STREAM_ID, projector!.REDIS_RES_STREAM_ID);
    assert.ok(worker!.GEMINI_API_KEY);
    assert.ok(worker!.SPOOL_DIR && projector!.ARCHIVE_DIR);
    assert.equal(configOf('migrate').MIGRATIONS_DIR, '/app/db/migrations');
    assert.match(readText('deployment/docker/Dockerfile'), /MIGRATIONS_DIR=\/app\/db\/migrations/);
    const all = [api!, reads!, worker!, projector!];
    assert.equal(new Set(all.map(({ APP_ID }) => APP_ID)).size, 4, 'each has a name of its own');
    for (const config of all) {
      const database = uriOf(config.POSTGRES_URI);
      assert.deepEqual([database.host, database.pathname], ['postgres:5432', '/orchestrator_db']);
      assert.ok(String(config.REDIS_URI?.split(':')[0]) in compose.services);
      assert.ok(config.tracing);
    }
  });

  test('give the database its login and name', () => {
    const environment = environmentOf(compose.services['postgres']!, files);
    const { username, password, pathname } = uriOf(configOf('command-api').POSTGRES_URI);
    assert.deepEqual(
      [environment['POSTGRES_USER'], environment['POSTGRES_PASSWORD'], `/${environment['POSTGRES_NAME']}`],
      [username, password, pathname],
    );
  });

  test('send traces where the collector listens', () => {
    const [host = '', port] = configOf('worker').JAEGER_URI?.split(':') ?? [];
    assert.ok(compose.services[host]?.volumes?.some((mount) => mount.startsWith('../otel/collector.yml:')));
    const { receivers } = readYaml('deployment/otel/collector.yml') as {
      receivers: { otlp: { protocols: { http: { endpoint: string } } } };
    };
    assert.equal(receivers.otlp.protocols.http.endpoint, `0.0.0.0:${port}`);
  });
});

describe('the ports', () => {
  const adminPorts = SERVICES.map((name) => loadConfig(name, environmentOf(compose.services[name]!, files)).ADMIN_PORT);

  test('of operators are those that the health check asks', () => {
    const [, list = ''] = /\[([\d, ]+)\]/.exec(readText('deployment/docker/healthcheck.mjs')) ?? [];
    assert.deepEqual(list.split(',').map(Number).sort(), [...adminPorts].sort());
  });

  test('of the services are those that the gateway connects to, and its own that which is published', () => {
    const gateway = readText('deployment/docker/haproxy.cfg');
    for (const name of ['command-api', 'query-api'] as const)
      assert.ok(gateway.includes(`-${name}:${configOf(name).PORT}}"`), name);
    assert.match(gateway, /^frontend entry\n {4}bind "\$\{GATEWAY_ENTRY-:8080\}"$/m);
  });

  test('that the image exposes are all of them', () => {
    const [, exposed = ''] = /^EXPOSE (.*)$/m.exec(readText('deployment/docker/Dockerfile')) ?? [];
    assert.deepEqual(exposed.split(' ').map(Number), [8080, ...adminPorts]);
  });
});

describe('the how-to', () => {
  const page = readFileSync(join(ROOT, HOW_TO), 'utf8');
  // Also in what a line keeps: OLD=$(…).
  const commands = [...page.matchAll(/^ {4}(?:\w+=\$\()?docker compose -f (\S+) (.+?)\)?$/gm)];

  test('names the compose file and services that there are', () => {
    assert.ok(commands.length >= 8);
    for (const [line, file, rest = ''] of commands) {
      assert.equal(file, COMPOSE_FILE, line);
      const [, service] = /^(?:exec|logs -f) (\S+)/.exec(rest) ?? [];
      if (service) assert.ok(service in compose.services, line);
      for (const [, scaled = ''] of rest.matchAll(/--scale (\S+)=/g))
        assert.ok((SERVICES as readonly string[]).includes(scaled), line);
      const [, named] = /^(?:build|run|ps|up) (.+)$/.exec(rest) ?? [];
      for (const word of named?.replace(/--scale \S+/g, '').split(' ') ?? [])
        assert.ok(word === '' || word.startsWith('-') || word in compose.services, line);
    }
  });
});
