import { simulate, type Simulated } from './simulate.js';

/** Every `every`th seed from `first` on, until so many runs have lived. */
export interface BatchOrder {
  readonly first: number;
  readonly every: number;
  readonly runs: number;
  readonly keepHistory: boolean;
}

export interface Batch {
  worlds: number;
  runs: number;
  steps: number;
  events: number;
  virtualMs: number;
  lastSeed: number;
  readonly faults: Record<string, number>;
  readonly failed: Pick<Simulated, 'seed' | 'violations' | 'history'>[];
}

const MOST_FAILED = 5;

export const nothing = (): Batch => ({
  worlds: 0,
  runs: 0,
  steps: 0,
  events: 0,
  virtualMs: 0,
  lastSeed: 0,
  faults: {},
  failed: [],
});

/** Stops early when enough seeds have failed. @param each called with each world */
export async function simulateBatch(
  { first, every, runs, keepHistory }: BatchOrder,
  each: (world: Simulated) => void = () => {},
): Promise<Batch> {
  const batch = nothing();
  for (let seed = first; batch.runs < runs && batch.failed.length < MOST_FAILED; seed += every) {
    const world = await simulate(seed);
    each(world);
    const { violations } = world;
    const failed =
      violations.length > 0 ? [{ seed, violations, history: keepHistory ? world.history : [] }] : [];
    const faults = Object.fromEntries(world.faults);
    const { executed: steps, events, virtualMs } = world;
    add(batch, { worlds: 1, runs: world.runs, steps, events, virtualMs, lastSeed: seed, faults, failed });
  }
  return batch;
}

export function add(sum: Batch, one: Batch): void {
  for (const key of ['worlds', 'runs', 'steps', 'events', 'virtualMs'] as const) sum[key] += one[key];
  sum.lastSeed = Math.max(sum.lastSeed, one.lastSeed);
  for (const [kind, count] of Object.entries(one.faults)) sum.faults[kind] = (sum.faults[kind] ?? 0) + count;
  sum.failed.push(...one.failed);
}
