/** Entries of the `results` stream as spans: that the projector was woken by them, in the traces they belong to. */
import { attr, own } from '../platform/telemetry/conventions.ts';
import { processOf } from '../platform/telemetry/shapes.ts';
import { beginSpan } from '../platform/telemetry/spans.ts';
import { isSampled, toSpanContext } from '../platform/telemetry/traceparent.ts';

/** As Redis answers XREADGROUP, of one stream. */
export type RawEntry = [id: string, fields: string[] | null];

export function markReceived(stream: string, group: string, entries: RawEntry[], ring: () => void): void {
  const startTime = performance.now();
  ring();
  for (const [id, flat] of entries) {
    const fields = fieldsOf(flat);
    const traceparent = fields.get('traceparent') ?? null;
    if (!isSampled(traceparent)) continue;
    const sent = [{ context: toSpanContext(traceparent) }];
    const attributes = { [attr.messagingMessageId]: id, [own.promptId]: fields.get('promptId') ?? '' };
    const shape = { ...processOf(stream, group, sent, attributes), startTime };
    beginSpan(traceparent, () => shape).end(performance.now());
  }
}

function fieldsOf(flat: string[] | null): Map<string, string> {
  const fields = new Map<string, string>();
  for (let i = 0; flat && i + 1 < flat.length; i += 2) fields.set(flat[i]!, flat[i + 1]!);
  return fields;
}
