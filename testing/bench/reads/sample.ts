/** Places of a log to ask about: prompts, users, times and positions, drawn from a seed. */
import type { Random } from '../../kit/random.ts';
import { asOwner } from './base.ts';

export type Place = {
  /** Of an event, and when it was recorded. */
  position: number;
  recordedAt: string;
  /** Its prompt. */
  promptId: string;
  userId: string;
  model: string;
  conversationId: string;
  submittedAt: string;
  /** Words of it: of its conversation alone, and of it alone. */
  topic: string;
  name: string;
};
/** Any prompts, each with its first event; events above the floor; prompts whose events are archived, with the first one. */
export type PlaceKind = 'anywhere' | 'in the log' | 'archived';
export type Sample = Record<PlaceKind, Place[]> & { firstMs: number; lastMs: number };

const PLACES = 400;

type Head = { version: number; last: string; floor: string; first_ms: string; last_ms: string };

export async function drawPlaces(uri: string, random: Random): Promise<Sample> {
  const [head] = await asOwner<Head>(
    uri,
    `SELECT p.version, h.position::text AS last, h.floor::text,
            floor(extract(epoch FROM coalesce(h.began_at, (SELECT recorded_at FROM event WHERE position = 1))) * 1000)::text
              AS first_ms,
            floor(extract(epoch FROM h.recorded_at) * 1000)::text AS last_ms
       FROM live_projection p, log_head h`,
  );
  if (!head) throw new Error('there is no log to ask about');
  const [last, floor] = [Number(head.last), Number(head.floor)];
  const time = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  const draw = (after: number, from: string, position: string, recordedAt: string, upTo = last) =>
    asOwner<Place>(
      uri,
      `SELECT ${position}::integer AS position, ${time(recordedAt)} AS "recordedAt", p.prompt_id AS "promptId",
              p.user_id AS "userId", p.model, p.conversation_id AS "conversationId", ${time('p.submitted_at')} AS "submittedAt",
              substring(t.prompt FROM 'topic\\d+') AS topic, substring(t.prompt FROM 'case\\d+') AS name
         FROM unnest($1::bigint[]) WITH ORDINALITY drawn (position, nth) CROSS JOIN log_head h CROSS JOIN LATERAL ${from}
         JOIN prompt_text_v${head.version} t USING (prompt_id) ORDER BY nth`,
      [Array.from({ length: PLACES }, () => random.between(after + 1, upTo))],
    );
  const prompt = `prompt_v${head.version}`;
  const nextPrompt = `(SELECT * FROM ${prompt} WHERE submitted_position >= drawn.position ORDER BY submitted_position LIMIT 1)`;
  return {
    anywhere: await draw(0, `${nextPrompt} p`, 'p.submitted_position', 'p.submitted_at'),
    'in the log': await draw(
      floor,
      `(SELECT position, recorded_at, stream_id FROM event WHERE position = drawn.position) e
         JOIN ${prompt} p ON p.prompt_id = e.stream_id`,
      'e.position',
      'e.recorded_at',
    ),
    archived:
      floor === 0
        ? []
        : await draw(
            0,
            `${nextPrompt} p
         JOIN archived_stream a ON a.stream_id = p.prompt_id AND a.position < h.floor AND a.recorded_at < h.floor_recorded_at`,
            'a.position',
            'a.recorded_at',
            floor,
          ),
    firstMs: Number(head.first_ms),
    lastMs: Number(head.last_ms),
  };
}
