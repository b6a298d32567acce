/** The live feed as server-sent events, followed for a moment. */
import type { FeedConnection } from './evidence.ts';
import { type Frame, toFrame } from './feeds.ts';

type Options = { url: string; user: string; key: string; after: number; ms: number };

/** Null when there was no stream: refused, or no answer. */
export async function openAsStream({ url, user, key, after, ms }: Options): Promise<FeedConnection | null> {
  const connection: FeedConnection = { user, isAdmin: false, after, brief: true, frames: [] };
  let begun = false;
  try {
    const headers = { authorization: `Bearer ${key}`, 'last-event-id': String(after) };
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(ms) });
    begun = response.ok;
    let rest = '';
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + piece).split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) {
        const data = block
          .split('\n')
          .filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).trimStart());
        if (data.length > 0) connection.frames.push(toFrame(JSON.parse(data.join('\n')) as Frame, data.join('\n')));
      }
    }
  } catch (error) {
    // Our own time-out, or the end of a server: what came until then is what is judged.
    if (!(error instanceof TypeError || (error as Error).name === 'TimeoutError')) throw error;
  }
  return begun ? connection : null;
}
