/** An event as the feed sends it. Encoded at most once per form, however many subscribers it goes to. */
import type { EventFrame } from '../../contracts/feed/frames.ts';
import type { Prompt } from '../../contracts/http/queries.ts';
import type { PromptReader } from '../read-models/prompt-reader.ts';

/** What the log tells of an event without its data. */
export type FeedEvent = {
  position: number;
  promptId: string;
  userId: string;
  type: string;
  traceparent: string | null;
};

export type FeedFrame = {
  position: number;
  promptId: string;
  userId: string;
  event: string;
  traceparent: string | null;
  prompt: Prompt;
  /** UTF-8 JSON: one WebSocket message. */
  json: () => Buffer;
  /** The same as one message of an event stream. */
  sse: () => Buffer;
};

/** Frames in the order of `events`, each prompt read once; events of a stream that cannot be folded have none. */
export async function toFrames(reader: PromptReader, events: FeedEvent[]): Promise<FeedFrame[]> {
  if (events.length === 0) return [];
  // A map keeps the last of equal keys: each prompt's newest event, which its view must have folded in.
  const views = await reader.views(new Map(events.map((event) => [event.promptId, event.position])));
  return events.flatMap((event) => {
    const prompt = views.get(event.promptId);
    return prompt ? [toFrame(event, prompt)] : [];
  });
}

export function toFrame(event: FeedEvent, prompt: Prompt): FeedFrame {
  let json: Buffer | undefined;
  let sse: Buffer | undefined;
  const encode = (): Buffer => {
    const frame: EventFrame = {
      type: 'event',
      position: event.position,
      event: event.type,
      promptId: event.promptId,
      prompt,
    };
    json ??= Buffer.from(JSON.stringify(frame));
    return json;
  };
  return {
    position: event.position,
    promptId: event.promptId,
    userId: event.userId,
    event: event.type,
    traceparent: event.traceparent,
    prompt,
    json: encode,
    sse: () => {
      sse ??= toSse(encode(), event.position);
      return sse;
    },
  };
}

/** JSON has no raw line ends, so one `data:` line always holds it. Without `id` a client's Last-Event-ID stays. */
export const toSse = (json: Buffer | string, id: number | null): Buffer =>
  Buffer.concat([
    Buffer.from(`${id === null ? '' : `id: ${id}\n`}data: `),
    typeof json === 'string' ? Buffer.from(json) : json,
    Buffer.from('\n\n'),
  ]);
