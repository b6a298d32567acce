import { readSql } from './sql-file.ts';

/**
 * Text of an SQL file whose `{{version}}` names the version of the projection's tables. Only an integer is ever
 * put there, everything else travels as a parameter.
 */
export function versionedSql(base: string, path: string): (version: number) => string {
  const template = readSql(base, path);
  const texts = new Map<number, string>();
  return (version) => {
    let text = texts.get(version);
    if (text === undefined) {
      if (!Number.isSafeInteger(version) || version < 1)
        throw new TypeError(`${version} is no version of a projection`);
      text = template.replaceAll('{{version}}', String(version));
      texts.set(version, text);
    }
    return text;
  };
}
