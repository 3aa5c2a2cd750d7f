import { createHash } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { RejectionGuard } from '../../lib/runtime/rejection-guard.js';
import { check, type Violation } from './check/checker.js';
import { lineOf, type Entry } from './check/history.js';
import { CALM_MS, Scenario } from './world/scenario.js';
import { World, type StoreClass } from './world/world.js';

export interface Simulated {
  readonly seed: number;
  /** runs of the workload, children and continued ones included */
  readonly runs: number;
  readonly executed: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly violations: readonly Violation[];
  readonly history: readonly Entry[];
}

/** How long it is looked on after everything has ended: what comes too late has to be harmless too. */
const AFTERMATH_MS = 30_000;

/** Lives one world from beginning to end, and judges it. */
export async function simulate(seed: number, storeClass?: StoreClass): Promise<Simulated> {
  Logger.overrideLogger(false);
  const uninstall = RejectionGuard.install();
  const world = new World(seed, storeClass);
  const scenario = new Scenario(world, world.dice.fork());
  scenario.begin();
  let quietSince: number | null = null;
  const until = CALM_MS;
  let calm = false;
  let looked = 0;
  try {
    await world.time.run(() => {
      const { now } = world.time;
      // asked after each event: only what is new is looked at
      const { entries } = world.history;
      while (!calm && looked < entries.length) calm = entries[looked++]!.is === 'calm';
      const ended =
        calm && scenario.settled && world.tables.active.size === 0 && world.tables.owing.size === 0;
      if (!ended) quietSince = null;
      else quietSince ??= now;
      return now > until || (quietSince !== null && now - quietSince > AFTERMATH_MS);
    });
  } finally {
    uninstall();
  }
  world.history.add('world', { is: 'over' });
  return {
    seed,
    runs: world.tables.runs.size,
    executed: world.history.entries.filter(({ is }) => is === 'begins').length,
    events: world.time.events,
    virtualMs: world.time.now,
    faults: world.faults,
    violations: check(world.history.entries),
    history: world.history.entries,
  };
}

/** The same text for the same history, byte for byte. */
export function digestOf(history: readonly Entry[]): string {
  const hash = createHash('sha256');
  for (const entry of history) hash.update(`${lineOf(entry)}\n`);
  return hash.digest('hex');
}
