/** Finished prompts from Redis, all others from the read model. */
import type { Cache } from './cache.ts';
import type { LiveModel } from './live-model.ts';
import type { FoundPrompt, PromptReader } from './prompt-reader.ts';

/** Counts up whenever `toPrompt` gains a field. */
const VIEW = 2;

/**
 * An entry made before `minPosition` is not used: it may not know what the caller has seen. Nor is one made after all that
 * is known here: it is another instance's, or of a log that has lost its end since.
 */
export async function findCached(
  deps: { cache: Cache; live: LiveModel; reader: PromptReader },
  promptId: string,
  minPosition: number,
): Promise<FoundPrompt | null> {
  const { cache, live, reader } = deps;
  // The version stands in the key: another one may have been folded with other prices. So does the shape of a prompt's
  // view: an older release, or the one before an upgrade, left entries without the newest fields. And so does the server's
  // start: a database put back from a backup has prompts open that had ended when Redis was told of them.
  const { version, upSince } = live.current();
  const key = `cache:prompt:${VIEW}:v${version}:${upSince}:${promptId}`;
  // Its own id is looked at too: what Redis says is believed no further than it can be checked.
  const cached = await cache.get<Partial<FoundPrompt>>(key);
  const { position } = live.current();
  if (isWhole(cached) && cached.prompt.id === promptId && cached.asOf >= minPosition && cached.asOf <= position)
    return cached;
  const found = await reader.find(promptId);
  if (found?.settled) cache.set(key, found);
  return found;
}

const isWhole = (found: Partial<FoundPrompt> | null): found is FoundPrompt =>
  typeof found?.asOf === 'number' && typeof found.prompt === 'object' && found.prompt !== null;
