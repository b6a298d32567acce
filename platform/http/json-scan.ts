/** What JSON.parse does not tell of a body, read from its bytes. */

export const MAX_DEPTH = 32;

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;

/**
 * Outside of strings: how deep brackets go, and how many fields there are (one colon each). JSON.parse of deep nesting
 * is cheap, but what walks its result overflows.
 */
export function scanJson(body: Buffer): { tooDeep: boolean; names: number } {
  let depth = 0;
  let names = 0;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (byte === QUOTE) {
      i = endOfString(body, i + 1);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > MAX_DEPTH) return { tooDeep: true, names };
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    } else if (byte === COLON) {
      names += 1;
    }
  }
  return { tooDeep: false, names };
}

/** indexOf runs at memory speed; prompts are long strings with few quotes. */
function endOfString(body: Buffer, from: number): number {
  let end = body.indexOf(QUOTE, from);
  while (end !== -1) {
    let slashes = 0;
    while (body[end - 1 - slashes] === BACKSLASH && end - 1 - slashes >= from) slashes += 1;
    if (slashes % 2 === 0) return end;
    end = body.indexOf(QUOTE, end + 1);
  }
  return body.length;
}

type Level = { at: string; names: Set<string> | null; name: string; index: number };

/** Fields that stand twice in one object, as pointers. `body` is JSON, and not deep. */
export function repeatedNames(body: Buffer): { pointer: string; message: string }[] {
  const found = new Set<string>();
  const levels: Level[] = [];
  let lastString = '""';
  for (let i = 0; i < body.length && found.size < 50; i += 1) {
    const level = levels.at(-1);
    switch (body[i]) {
      case QUOTE: {
        const end = endOfString(body, i + 1);
        lastString = body.toString('utf8', i, end + 1);
        i = end;
        break;
      }
      case OPEN_BRACE:
      case OPEN_BRACKET: {
        const at = level ? `${level.at}/${level.names ? level.name : level.index}` : '';
        levels.push({ at, names: body[i] === OPEN_BRACE ? new Set() : null, name: '', index: 0 });
        break;
      }
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        levels.pop();
        break;
      case COMMA:
        if (level) level.index += 1;
        break;
      case COLON: {
        if (!level?.names) break;
        const name = JSON.parse(lastString) as string;
        level.name = name.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
        if (level.names.has(name)) found.add(`${level.at}/${level.name}`);
        level.names.add(name);
      }
    }
  }
  return [...found].map((pointer) => ({ pointer, message: 'stands twice' }));
}
