/** The generated pages of doc/reference: file → text. */
import { httpErrors, promptErrors } from '../contracts/errors.ts';
import { type EventType, eventSchemas, terminalTypes } from '../contracts/prompt/events.ts';
import { configurationReference, envExample } from '../platform/config/reference.ts';
import { metricsReference } from '../platform/telemetry/reference.ts';
import { faults } from './emulator/faults.ts';
import { faultGroups } from './fault-groups.ts';
import { failPointsInCode } from './faults/cases/fail-points.ts';
import { mutations } from './faults/mutations.ts';
import { CHART, schemaJson, valuesReference, variablesJson } from './helm/chart-values.ts';
import { rules } from './rules.ts';
import { tracesReference } from './traces/reference.ts';

const table = (head: string[], rows: string[][]): string[] => [
  `| ${head.join(' | ')} |`,
  `|${head.map(() => '---').join('|')}|`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
];
const page = (title: string, intro: string, ...lines: string[]): string =>
  `${[`# ${title}`, '', intro, '', ...lines].join('\n')}\n`;

export function referencePages(): Record<string, string> {
  return {
    'doc/reference/configuration.md': configurationReference(),
    '.env.example': envExample(),
    'doc/reference/traces.md': tracesReference(),
    'doc/reference/metrics.md': metricsReference(),
    [`${CHART}/files/variables.json`]: variablesJson(),
    [`${CHART}/values.schema.json`]: schemaJson(),
    'doc/reference/helm-values.md': page(
      'Values of the Helm chart',
      `Made by \`npm run docs\` from \`${CHART}/values.schema.json\`, which refuses everything else. A reference to a Secret is \`{ name, key }\`. Variables under \`config\` are those of the [configuration](configuration.md); without one the service’s own default holds.`,
      ...table(['value', 'may be', 'default', 'what'], valuesReference()),
    ),
    'doc/reference/errors.md': page(
      'Errors',
      'Made by `npm run docs` from `contracts/errors.ts`. Answers are RFC 9457 `application/problem+json` with `code`, `requestId`, `retryable` and, for 400, `errors: [{ pointer, message }]`.',
      ...table(
        ['code', 'status', 'title', 'retryable'],
        Object.entries(httpErrors).map(([code, { status, title, retryable }]) => [
          `\`${code}\``,
          String(status),
          title,
          retryable ? 'yes' : 'no',
        ]),
      ),
      '',
      '## Why a prompt or an attempt failed',
      '',
      ...table(
        ['code', 'meaning'],
        Object.entries(promptErrors).map(([code, meaning]) => [`\`${code}\``, meaning]),
      ),
    ),
    'doc/reference/events.md': page(
      'Events',
      'Made by `npm run docs` from `contracts/prompt/events.ts`. One stream per prompt; `?` marks what may be null.',
      ...Object.entries(eventSchemas)
        .flatMap(([type, schema]) => [
          `## ${type}${terminalTypes.has(type as EventType) ? ' (ends the prompt)' : ''}`,
          '',
          Object.entries(schema.properties)
            .map(([name, property]) => `\`${name}\`${isNullable(property) ? '?' : ''}`)
            .join(', '),
          '',
        ])
        .slice(0, -1),
    ),
    'doc/reference/rules.md': page(
      'Rules and their tests',
      'Made by `npm run docs` from `testing/rules.ts`. What two people would otherwise write differently; every rule has tests that fail without it. Numbers that are missing belong to what is not built yet.',
      ...Object.entries(rules).flatMap(([title, those]) => [
        `## ${title}`,
        '',
        ...table(
          ['', 'rule', 'held by'],
          those.map(({ id, says, tests }) => [
            id,
            says,
            tests.map(([file, name]) => `[${name}](../../${file})`).join('<br>'),
          ]),
        ),
        '',
      ]),
    )
      .trimEnd()
      .concat('\n'),
    'doc/reference/fault-groups.md': page(
      'Faults by group',
      'Made by `npm run docs` from `testing/fault-groups.ts`: where each fault is made, in the [matrix](../explanation/fault-cases.md) or in a test of the suite; or why not here.',
      ...Object.entries(faultGroups).flatMap(([title, those]) => [
        `## ${title}`,
        '',
        ...table(
          ['', 'fault', 'where'],
          those.map(({ id, what, matrix = [], tests = [], why }) => [
            id,
            what,
            [
              ...matrix.map((name) => `matrix: ${name.trim()}…`),
              ...tests.map(([file, name]) => `[${name}](../../${file})`),
              ...(why ? [`not here: ${why}`] : []),
            ].join('<br>'),
          ]),
        ),
        '',
      ]),
    )
      .trimEnd()
      .concat('\n'),
    'doc/reference/fail-points.md': page(
      'Fail points',
      'Made by `npm run docs` from the code: named places between two steps, inert unless a fault run arms them (`testing/faults/arm.ts`, which no image contains). Each is reached with a kill, a stop longer than a lease and a wipe of Redis, and where the code can throw with an error; `rebuild` and `archive` by the tests of these tools.',
      ...failPointsInCode().map((name) => `- \`${name}\``),
      '',
      '## Mutations',
      '',
      'Faults in the code itself, each of which must turn the checker red (`npm run faults -- mutations --all`).',
      '',
      ...table(
        ['mutation', 'what it is', 'named by'],
        mutations.map(({ name, why, expected }) => [name, why, expected.join(' or ')]),
      ),
    ),
    'doc/reference/emulator-faults.md': page(
      'Faults of the emulator',
      'Made by `npm run docs` from `testing/emulator/faults.ts`. By directive in the prompt, `[[emulate {"fault":"503","times":1}]]`, or for all calls with `PUT /emulator/behaviour`.',
      ...table(
        ['fault', 'what it is'],
        Object.entries(faults).map(([name, what]) => [`\`${name}\``, what]),
      ),
    ),
  };
}

function isNullable(schema: unknown): boolean {
  const branches = (schema as { anyOf?: { type?: string }[] }).anyOf ?? [];
  return branches.some(({ type }) => type === 'null');
}
