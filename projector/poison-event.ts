/** An event that cannot be folded, or whose rows cannot be stored: named, so that somebody can look at it. */
export class PoisonEventError extends Error {
  readonly code = 'poison_event';
  readonly streamId: string;
  readonly position: number;
  constructor(event: { streamId: string; position: number }, cause: unknown) {
    super(
      `event ${event.position} of stream ${event.streamId}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
    this.streamId = event.streamId;
    this.position = event.position;
  }
}
