import { seeded } from './random.js';

export const FIRE = ['kill', 'cut', 'restart', 'pause'] as const;
export type FireKind = (typeof FIRE)[number];

/** What is done to whom, `at` milliseconds after the fire began. */
export type Act = { readonly at: number } & (
  | { readonly kind: 'kill'; readonly worker: number; readonly awayMs: number }
  /** connections of the database, each with this chance */
  | { readonly kind: 'cut'; readonly chance: number }
  | { readonly kind: 'restart'; readonly mode: 'fast' | 'immediate'; readonly awayMs: number }
  /** stopped for longer than the lease timeout: its tasks are given to others, and then it goes on */
  | { readonly kind: 'pause'; readonly worker: number; readonly forMs: number }
);

export interface FireOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly workers: number;
  readonly kinds: readonly FireKind[];
  readonly leaseTimeoutMs: number;
}

/** How often each is drawn, and how long it is quiet before the next act, at most. */
const WEIGHTS: Record<FireKind, number> = { kill: 4, cut: 3, restart: 1, pause: 2 };
const LONGEST_QUIET_MS = 3000;
const SHORTEST_QUIET_MS = 300;

/** The same options, the same fire. */
export function planFire({ seed, seconds, workers, kinds, leaseTimeoutMs }: FireOptions): Act[] {
  const random = seeded(seed);
  const between = (from: number, to: number): number => Math.round(from + random() * (to - from));
  const drawn = kinds.flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind));
  const acts: Act[] = [];
  if (drawn.length === 0) return acts;
  let at = 500;
  while ((at += between(SHORTEST_QUIET_MS, LONGEST_QUIET_MS)) < seconds * 1000) {
    const kind = drawn[Math.floor(random() * drawn.length)]!;
    const worker = Math.floor(random() * workers);
    if (kind === 'kill') acts.push({ at, kind, worker, awayMs: between(0, 1500) });
    else if (kind === 'cut') acts.push({ at, kind, chance: random() });
    else if (kind === 'restart')
      acts.push({ at, kind, mode: random() < 0.5 ? 'fast' : 'immediate', awayMs: between(0, 1000) });
    else acts.push({ at, kind, worker, forMs: leaseTimeoutMs + between(200, 2500) });
  }
  return acts;
}
