/** doc/reference/configuration.md and .env.example, made from the list of variables. */
import { type Variable, variables } from './variables.ts';

const entries = Object.entries(variables) as [string, Variable<unknown>][];

function defaultOf(variable: Variable<unknown>): string {
  if (variable.defaultText) return variable.defaultText;
  const value = typeof variable.default === 'function' ? '' : variable.default;
  return value === null || value === '' ? '–' : String(value);
}

export function configurationReference(): string {
  const rows = entries.map(
    ([name, variable]) => `| \`${name}\` | ${defaultOf(variable)} | ${variable.who} | ${variable.about} |`,
  );
  return [
    '# Configuration',
    '',
    'Made by `npm run docs` from `platform/config/variables.ts`. All problems are reported at once, with the variable’s name; values of secrets are never printed. An empty variable counts as not set.',
    '',
    '| variable | default | who | what |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export function envExample(): string {
  const lines = entries.flatMap(([name, variable]) => [
    `# ${variable.about} (${variable.who}; default: ${defaultOf(variable)})`,
    `#${name}=`,
    '',
  ]);
  return ['# Copy to .env; `npm start` reads it. Made by `npm run docs`.', '', ...lines].join('\n');
}
