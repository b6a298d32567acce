/** A parsed REDIS_URI. */
export type RedisTarget =
  | { kind: 'single'; uri: string }
  | { kind: 'sentinel'; hosts: RedisHost[]; master: string }
  | { kind: 'cluster'; hosts: RedisHost[] };

export type RedisHost = { host: string; port: number };

const FORMS = 'host:port, redis://…, redis+sentinel://h:p,h:p/master or redis+cluster://h:p,h:p';

/**
 * `host:port`, `redis://…`, `rediss://…`, `redis+sentinel://h:p,h:p/master`, `redis+cluster://h:p,h:p`. Throws a
 * `TypeError` that says what is expected and repeats nothing of it: there may be a password inside.
 */
export function parseRedisUri(uri: string): RedisTarget {
  const [, scheme, rest = ''] = /^(redis\+sentinel|redis\+cluster):\/\/(.*)$/s.exec(uri) ?? [];
  if (scheme === 'redis+cluster') return { kind: 'cluster', hosts: rest.split(',').map(parseHost) };
  if (scheme === 'redis+sentinel') {
    const [list = '', master = '', ...more] = rest.split('/');
    if (!/^\S+$/.test(master) || more.length > 0)
      throw new TypeError('must end with the name of the master: …/mymaster');
    return { kind: 'sentinel', hosts: list.split(',').map(parseHost), master };
  }
  if (/^rediss?:\/\//.test(uri)) {
    if (/\s/.test(uri) || !URL.canParse(uri) || new URL(uri).hostname === '') throw new TypeError(`must be ${FORMS}`);
    return { kind: 'single', uri };
  }
  const { host, port } = parseHost(uri);
  return { kind: 'single', uri: `redis://${host}:${port}` };
}

function parseHost(text: string): RedisHost {
  const [, host, digits = '6379'] = /^([^\s:/@]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = Number(digits);
  if (!host || port > 65_535) throw new TypeError(`must be ${FORMS}`);
  return { host, port };
}
