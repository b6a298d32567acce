/** GET /prompts/{id}/events: the prompt's stream, as it is in the log. */
import { Type } from '@sinclair/typebox';
import { decodeText } from '../../contracts/answer-text.ts';
import { type RecordedEvent, toCloudEvent } from '../../contracts/envelope.ts';
import { TimelineEvent } from '../../contracts/http/queries.ts';
import { UnknownEventError } from '../../contracts/prompt/upcast.ts';
import { problem } from '../../platform/http/problem.ts';
import type { Server } from '../../platform/http/server.ts';
import { findArchived } from '../../platform/postgres/archived.ts';
import { type EventRow, envelopeOf, readHead, readStreamRows, toEvent } from '../../platform/postgres/read.ts';
import type { ReadDeps } from '../deps.ts';
import { mayRead, minPosition, noSuchPrompt, PromptParams } from './query-parts.ts';

const SOURCE = '/prompts';

export function timelineRoute(server: Server, { primaryPool }: ReadDeps): void {
  server.get(
    '/prompts/:id/events',
    {
      schema: {
        summary: 'What happened to a prompt, event by event',
        tags: ['queries'],
        params: PromptParams,
        querystring: Type.Object({ minPosition }, { additionalProperties: false }),
        response: { 200: Type.Object({ data: Type.Array(TimelineEvent) }) },
      },
    },
    async (request) => {
      const position = request.query.minPosition ?? 0;
      const id = request.params.id.toLowerCase();
      const rows = (await readStreamRows(primaryPool, [id])).get(id);
      if (!rows) {
        const archived = await findArchived(primaryPool, id);
        if (!archived || !mayRead(request.principal, archived.userId)) throw noSuchPrompt();
        throw problem('archived', {
          detail: 'the prompt’s events are archived; GET /prompts/{id} has what became of it',
        });
      }
      // An event has its user from the first one on, whatever else a release makes of it.
      if (!mayRead(request.principal, String(rows[0]!.data['userId']))) throw noSuchPrompt();
      // Read from the log itself, there is no projection to wait for; only a position never given is not there.
      if (position > rows.at(-1)!.position && position > (await readHead(primaryPool))) {
        throw problem('read_model_behind', { detail: 'the log has not reached that position' });
      }
      return { data: rows.map(toShownEvent) };
    },
  );
}

/** Of an event that this release does not know, its data are left out: nobody can tell what must not be shown of them. */
function toShownEvent(row: EventRow) {
  try {
    return toTimelineEvent(toEvent(row));
  } catch (error) {
    if (!(error instanceof UnknownEventError)) throw error;
    return toCloudEvent({ ...envelopeOf(row), data: {} }, SOURCE);
  }
}

/** Answers in plain text, and without the attempt's token: who has it could settle the attempt. */
export function toTimelineEvent(event: RecordedEvent) {
  const { token: _, ...data } = { token: null, ...(event.data as Record<string, unknown>) };
  if (event.type !== 'PromptCompleted') return { ...toCloudEvent(event, SOURCE), data };
  const { encoding, ...rest } = data as { encoding: 'plain' | 'json'; answer: string };
  return { ...toCloudEvent(event, SOURCE), data: { ...rest, answer: decodeText({ text: rest.answer, encoding }) } };
}
