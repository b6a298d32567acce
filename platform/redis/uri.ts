/** A parsed REDIS_URI. */
export type RedisTarget =
  | { kind: 'single'; uri: string }
  | {
      kind: 'sentinel';
      hosts: RedisHost[];
      master: string;
      db?: number;
      tls?: true;
      login?: RedisLogin;
      /** Of the sentinels, which have passwords of their own. */
      sentinelLogin?: RedisLogin;
    }
  | { kind: 'cluster'; hosts: RedisHost[]; tls?: true; login?: RedisLogin };

export type RedisHost = { host: string; port: number };
export type RedisLogin = { username?: string; password?: string };

const FORMS =
  'host:port, redis://…, redis+sentinel://user:password@h:p,h:p/master/db or redis+cluster://user:password@h:p,h:p; rediss… for TLS';
const SENTINEL_PARAMETERS = new Set(['sentinelUsername', 'sentinelPassword']);

/**
 * `host:port`, `redis://…`, `rediss://…`, `redis+sentinel://user:password@h:p,h:p/master/db?sentinelPassword=…`,
 * `redis+cluster://user:password@h:p,h:p`; `rediss+…` is TLS. Odd characters of names and passwords are written as %XX.
 * Throws a `TypeError` that says what is expected and repeats nothing of it: there may be a password inside.
 */
export function parseRedisUri(uri: string): RedisTarget {
  const [, secure, scheme, rest = ''] = /^redis(s?)\+(sentinel|cluster):\/\/(.*)$/s.exec(uri) ?? [];
  const tls = secure === 's' ? { tls: true as const } : {};
  if (scheme === 'cluster') {
    const { login, hosts } = parseServers(rest, 6379);
    return { kind: 'cluster', hosts, ...tls, ...login };
  }
  if (scheme === 'sentinel') return { ...parseSentinel(rest), ...tls };
  if (/^rediss?:\/\//.test(uri)) {
    if (/\s/.test(uri) || !URL.canParse(uri) || new URL(uri).hostname === '') throw new TypeError(`must be ${FORMS}`);
    return { kind: 'single', uri };
  }
  const { host, port } = parseHost(uri, 6379);
  return { kind: 'single', uri: `redis://${host}:${port}` };
}

function parseSentinel(rest: string): Extract<RedisTarget, { kind: 'sentinel' }> {
  const [path = '', query = '', ...queries] = rest.split('?');
  const [list = '', master = '', db, ...more] = path.split('/');
  if (!/^\S+$/.test(master) || more.length + queries.length > 0)
    throw new TypeError('must end with the name of the master: …/mymaster');
  if (db !== undefined && !/^\d{1,5}$/.test(db))
    throw new TypeError('must have a number as its database: …/mymaster/0');
  const parameters = new URLSearchParams(query);
  if ([...parameters.keys()].some((name) => !SENTINEL_PARAMETERS.has(name)))
    throw new TypeError('may have sentinelUsername and sentinelPassword as parameters, no others');
  const { login, hosts } = parseServers(list, 26379);
  const [username, password] = [parameters.get('sentinelUsername'), parameters.get('sentinelPassword')];
  const sentinelLogin = { ...(username && { username }), ...(password && { password }) };
  return {
    kind: 'sentinel',
    hosts,
    master: decoded(master),
    ...(db !== undefined && { db: Number(db) }),
    ...login,
    ...(Object.keys(sentinelLogin).length > 0 && { sentinelLogin }),
  };
}

/** `user:password@h:p,h:p`, the login optional and either half of it too. */
function parseServers(text: string, defaultPort: number): { hosts: RedisHost[]; login?: { login: RedisLogin } } {
  const at = text.lastIndexOf('@');
  const hosts = text
    .slice(at + 1)
    .split(',')
    .map((host) => parseHost(host, defaultPort));
  if (at < 0) return { hosts };
  const [username = '', password = '', ...more] = text.slice(0, at).split(':');
  if (more.length > 0 || /[\s@]/.test(username + password)) throw new TypeError(`must be ${FORMS}`);
  const login = {
    ...(username !== '' && { username: decoded(username) }),
    ...(password !== '' && { password: decoded(password) }),
  };
  return { hosts, login: { login } };
}

function parseHost(text: string, defaultPort: number): RedisHost {
  const [, host, digits = defaultPort] = /^([^\s:/@]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = Number(digits);
  if (!host || port > 65_535) throw new TypeError(`must be ${FORMS}`);
  return { host, port };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError('must have odd characters of names and passwords as %XX');
  }
}
