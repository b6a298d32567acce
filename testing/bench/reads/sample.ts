/** Places of a log to ask about: prompts, users, times and positions, drawn from a seed. */
import type { Random } from '../../kit/random.ts';
import { asOwner } from './base.ts';

export type Place = {
  /** Of some event, and when it was recorded. */
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
export type Sample = { places: Place[]; firstMs: number; lastMs: number };

const PLACES = 400;

export async function drawPlaces(uri: string, random: Random): Promise<Sample> {
  const [head] = await asOwner<{ version: number; last: string; first_ms: string; last_ms: string }>(
    uri,
    `SELECT p.version, h.position::text AS last, floor(extract(epoch FROM e.recorded_at) * 1000)::text AS first_ms,
            floor(extract(epoch FROM h.recorded_at) * 1000)::text AS last_ms
       FROM live_projection p, log_head h, event e WHERE e.position = 1`,
  );
  if (!head) throw new Error('there is no log to ask about');
  const last = Number(head.last);
  const positions = Array.from({ length: PLACES }, () => random.between(1, last));
  const time = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  const places = await asOwner<Place & { text: string }>(
    uri,
    `SELECT e.position::integer, ${time('e.recorded_at')} AS "recordedAt", p.prompt_id AS "promptId", p.user_id AS "userId",
            p.model, p.conversation_id AS "conversationId", ${time('p.submitted_at')} AS "submittedAt",
            substring(t.prompt FROM 'topic\\d+') AS topic, substring(t.prompt FROM 'case\\d+') AS name
       FROM event e JOIN prompt_v${head.version} p ON p.prompt_id = e.stream_id
       JOIN prompt_text_v${head.version} t USING (prompt_id)
      WHERE e.position = ANY ($1::bigint[]) ORDER BY e.event_id`,
    [positions],
  );
  return { places, firstMs: Number(head.first_ms), lastMs: Number(head.last_ms) };
}
