/** What was done to whom, written down where it is done: the checker explains a lost lease by nothing else. */
import type { Impairment } from './evidence.ts';

type What = Impairment['what'];

export type Impairments = {
  list: Impairment[];
  /** From now on, until what it returns is called; called twice, it ends once. */
  begin: (instance: string, what: What, pid?: number | null) => () => void;
  /** It has just ended, and took so long. */
  ended: (instance: string, what: What, pid: number | null, ms: number) => void;
  during: <T>(instance: string, what: What, work: () => Promise<T>) => Promise<T>;
};

/** Of one that has not ended. */
const OPEN = Number.MAX_SAFE_INTEGER;

export function createImpairments(): Impairments {
  const list: Impairment[] = [];
  const begin: Impairments['begin'] = (instance, what, pid = null) => {
    const one: Impairment = { at: Date.now(), until: OPEN, instance, pid, what };
    list.push(one);
    return () => {
      one.until = Math.min(one.until, Date.now());
    };
  };
  return {
    list,
    begin,
    ended: (instance, what, pid, ms) => {
      const until = Date.now();
      list.push({ at: until - ms, until, instance, pid, what });
    },
    during: async (instance, what, work) => {
      const end = begin(instance, what);
      try {
        return await work();
      } finally {
        end();
      }
    },
  };
}
