/** Read models as admins see them: versions, what is served, rebuilds. */
import { type Static, Type } from '@sinclair/typebox';
import { Count, Nullable, Position, Time, Uuid } from './scalars.ts';

export const VersionNumber = Type.Integer({ minimum: 1, maximum: 2_147_483_647 });

/** `waiting`: asked for, and no projector has begun. */
export const RebuildPhase = Type.Union(
  (['waiting', 'folding', 'indexing', 'catching_up', 'comparing'] as const).map((phase) => Type.Literal(phase)),
  { $id: 'RebuildPhase' },
);

/**
 * `switched`: served now. `dropped`: a dry run, or not equal to what is served. `kept`: apart, with an end or other prices.
 * `failed`: see its error. `cancelled`: by an admin.
 */
export const RebuildOutcome = Type.Union(
  (['switched', 'kept', 'dropped', 'failed', 'cancelled'] as const).map((outcome) => Type.Literal(outcome)),
  { $id: 'RebuildOutcome' },
);

export const RebuildBody = Type.Object(
  {
    dryRun: Type.Optional(Type.Boolean({ description: 'Build and compare, then drop it again' })),
    acceptDifferences: Type.Optional(
      Type.Boolean({
        description:
          'Serve it also if it is not equal to the former version, as after a release that folds differently',
      }),
    ),
  },
  { $id: 'RebuildBody', additionalProperties: false },
);

export const RebuildAccepted = Type.Object(
  { id: Uuid, projection: Type.String(), requestedAt: Time },
  { $id: 'RebuildAccepted' },
);
export type RebuildAccepted = Static<typeof RebuildAccepted>;

/** `outcome` is null until whoever does it has broken off. */
export const RebuildCancelling = Type.Object(
  { id: Uuid, projection: Type.String(), outcome: Nullable(Type.Literal('cancelled')) },
  { $id: 'RebuildCancelling' },
);
export type RebuildCancelling = Static<typeof RebuildCancelling>;

export const VersionServed = Type.Object(
  { projection: Type.String(), version: VersionNumber },
  { $id: 'VersionServed' },
);

export const Rebuild = Type.Object(
  {
    id: Uuid,
    projection: Type.String(),
    requestedBy: Type.String(),
    requestedAt: Time,
    dryRun: Type.Boolean(),
    acceptDifferences: Type.Boolean(),
    /** Done by `npm run replay` in its own process, not by a projector. */
    byTool: Type.Boolean(),
    startedAt: Nullable(Time),
    endedAt: Nullable(Time),
    /** That is built, or was. */
    version: Nullable(VersionNumber),
    outcome: Nullable(RebuildOutcome),
    error: Nullable(Type.String()),
    progress: Type.Object({
      phase: RebuildPhase,
      /** Of this phase, of `target`: events passed; while indexing and comparing, as many as the share of the work that is done. */
      position: Position,
      target: Position,
      eventsPerSecond: Count,
      /** Of this phase, at this rate; null when it cannot be told. */
      secondsLeft: Nullable(Count),
      /** When it was told; one that stays behind is of a projector that is gone. */
      toldAt: Nullable(Time),
    }),
  },
  { $id: 'Rebuild' },
);
export type Rebuild = Static<typeof Rebuild>;

export const ProjectionVersion = Type.Object(
  {
    version: VersionNumber,
    /** `building`: not whole yet. `ready`: kept up to date, unless it is frozen. */
    status: Type.Union([Type.Literal('building'), Type.Literal('ready')]),
    served: Type.Boolean(),
    /** Ends at `target`, or has other prices: never served. */
    frozen: Type.Boolean(),
    /** Where its bulk phase ends; null for the first. */
    target: Nullable(Position),
    position: Position,
    prices: Nullable(Type.String()),
    /** What a comparison with the one served then has found. */
    verdict: Nullable(Type.Union([Type.Literal('equal'), Type.Literal('different')])),
    /** Streams with an event that could not be folded: set aside, and read from the log. */
    parkedStreams: Count,
    createdAt: Time,
    readyAt: Nullable(Time),
  },
  { $id: 'ProjectionVersion' },
);

export const Projection = Type.Object(
  {
    name: Type.String(),
    /** Served. */
    version: VersionNumber,
    /** Of the served version, and of the log; `lag` is what is between. */
    position: Position,
    head: Position,
    lag: Count,
    parkedStreams: Count,
    /** Oldest first. */
    versions: Type.Array(ProjectionVersion),
    openRebuild: Nullable(Rebuild),
    /** That ended. */
    lastRebuild: Nullable(Rebuild),
  },
  { $id: 'Projection' },
);
export type Projection = Static<typeof Projection>;
