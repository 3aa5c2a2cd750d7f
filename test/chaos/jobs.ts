import type { TriggerOptions } from 'nestjs-workflow';
import { mix } from './random.js';

/** What a run is started with; its workflow follows from `kind`. */
export interface Job {
  readonly n: number;
  readonly kind: Kind;
  /** of the server that external calls go to */
  readonly url: string;
}

export const KINDS = ['steps', 'events', 'calls', 'family', 'undo', 'loop'] as const;
export type Kind = (typeof KINDS)[number];

/** How a run must end. */
export type Expected =
  | { readonly status: 'completed'; readonly result: number }
  | { readonly status: 'failed'; readonly message: string };

export const runIdOf = ({ kind, n }: Pick<Job, 'kind' | 'n'>): string => `${kind}-${n}`;

export const makeJob = (n: number, url: string): Job => ({ n, kind: KINDS[n % KINDS.length]!, url });

export const NO_ANSWER = -1;
export const ROUNDS = 3;
export const CHAIN = 4;

/** Children of a family: how many, and whether the first of them fails. */
export const childrenOf = (n: number): { readonly count: number; readonly firstFails: boolean } => ({
  count: 1 + (n % 4),
  firstFails: n % 5 === 0,
});

/** How often a part fails before it succeeds: the same in every process. */
export const failuresOf = (n: number, part: number): number => (mix(n, part) % 4 === 0 ? 1 + (part % 2) : 0);

export const undoMessage = (n: number): string => `nothing left for ${n}`;

const part = (n: number, i: number): number => mix(n, i);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Computed from the job alone, by no code of the workflows. */
export function expectedOf({ n, kind }: Pick<Job, 'n' | 'kind'>): Expected {
  switch (kind) {
    case 'steps':
      return done(
        sum([0, 1, 2, 3].map((i) => part(n, i))) * 2 + sum(upTo(CHAIN).map((i) => part(n, 10 + i))),
      );
    case 'events':
      return done(2 * part(n, 90) + part(n, 91) + part(n, 1) + part(n, 2) + 1);
    case 'calls':
      return done(sum([70, 71, 72].map((i) => part(n, i))) + part(n, 1));
    case 'family': {
      const { count, firstFails } = childrenOf(n);
      const results = upTo(count).map((i) => (i === 0 && firstFails ? NO_ANSWER : childResult(n * 10 + i)));
      return done(sum(results) + part(n, 1) + childResult(n * 10 + 9));
    }
    case 'undo':
      return { status: 'failed', message: undoMessage(n) };
    case 'loop':
      return done(sum(upTo(ROUNDS).flatMap((round) => [part(n, 20 + round), part(n, 30 + round)])));
  }
}

export const childResult = (n: number): number => part(n, 1) + part(n, 2);

/** Steps that must be in the journal of a run that has ended, besides what its result tells of. */
export const mustHaveRun = (kind: Kind): readonly string[] =>
  kind === 'undo' ? ['rollback/undo 0', 'rollback/undo 1', 'onFailure/told'] : [];

const done = (result: number): Expected => ({ status: 'completed', result });

/** Some runs stand in line, some wait for the one before them: what that keeps must survive too. */
export function triggerOptionsOf(job: Job): TriggerOptions {
  const { n } = job;
  const runId = runIdOf(job);
  if (n % 7 === 0) return { runId, flowControl: { key: `line-${n % 3}`, parallelism: 3 } };
  if (n % 11 === 0) return { runId, singleton: { key: `only-${Math.floor(n / 44)}`, policy: 'queue' } };
  return { runId };
}
