/** The generated pages of doc/reference: file → text. */
import { httpErrors, promptErrors } from '../contracts/errors.ts';
import { type EventType, eventSchemas, terminalTypes } from '../contracts/prompt/events.ts';
import { configurationReference, envExample } from '../platform/config/reference.ts';
import { faults } from './emulator/faults.ts';

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
