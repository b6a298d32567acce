/** What `npm run bench -- sizing` measures; kept as figures.json, from which doc/how-to/size-it.md takes every figure. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = join(import.meta.dirname, 'figures.json');

/** Seconds from a process's start until it is ready and `/readyz` answers 200. */
export type Ready = { service: string; coldSeconds: number[]; warmSeconds: number[] };

export type Workers = {
  /** Of each worker. */
  slots: number;
  callMs: number;
  /** Prompts a second out of a backlog, by one worker and by two. */
  one: number;
  two: number;
  /** Of all cores, by everything on the machine, while two worked. */
  busyShare: number;
};

export type Load = {
  process: string;
  /** Of one core. */
  idleShare: number;
  cpuSecondsPerPrompt: number;
  idleBytes: number;
  loadBytes: number;
};

export type Steady = { perSecond: number; seconds: number; processes: Load[]; walBytesPerPrompt: number };

export type Table = {
  table: string;
  rowsPerPrompt: number;
  /** Heap with its TOAST. */
  bytesPerPrompt: number;
  indexes: { index: string; bytesPerPrompt: number }[];
};
/** What has fewer rows than prompts: it grows with users, models and time, or is empty when nothing is open. */
export type OtherTable = { table: string; rows: number; bytes: number };

export type Growth = { prompts: number; tables: Table[]; others: OtherTable[] };

export type RedisMemory = {
  idleBytes: number;
  loadBytes: number;
  /** What it grew by until so many prompts waited for a worker. */
  waiting: number;
  waitingBytes: number;
  resultsEntries: number;
  resultsBytes: number;
  bytesPerCachedPrompt: number;
};

export type Figures = {
  date: string;
  cores: number;
  gibibytes: number;
  node: string;
  promptCharacters: number;
  answerCharacters: number;
  answerPieces: number;
  users: number;
  ready: Ready[];
  workers: Workers;
  steady: Steady;
  growth: Growth;
  redis: RedisMemory;
};

export const readFigures = (): Figures => JSON.parse(readFileSync(FILE, 'utf8')) as Figures;
export const writeFigures = (figures: Figures): void => writeFileSync(FILE, `${JSON.stringify(figures, null, 2)}\n`);
