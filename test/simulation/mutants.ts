import type {
  AdvanceCommit,
  CommitResult,
  Lease,
  Reported,
  Settled,
  StepCommit,
} from '../../lib/ports/index.js';
import type { Rule } from './check/checker.js';
import { SimulatedStore, type StoreClass } from './world/world.js';

/** Whatever the fence of a lease was: the one that holds now. */
function presentFence<L extends Lease>(store: { fenceOf(taskId: string): number | undefined }, lease: L): L {
  return { ...lease, fence: store.fenceOf(lease.taskId) ?? lease.fence };
}

/** Commits and answers are taken under any fence and turn: a process that stood still writes over another. */
class ForgetsTheFence extends SimulatedStore {
  fenceOf(taskId: string): number | undefined {
    return this.tables.tasks.get(taskId)?.fence;
  }
  override commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    return super.commit(commits.map((one) => ({ ...presentFence(this, one), turn: null })));
  }
  override answer(commits: readonly StepCommit[]): Promise<CommitResult[]> {
    return super.answer(commits.map((one) => presentFence(this, one)));
  }
}

/** Says that a commit is durable before it is: what depends on it starts too early. */
class AnswersBeforeTheFlush extends SimulatedStore {
  override commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    if (commits.some(({ next }) => next.to !== 'continue')) return super.commit(commits);
    super.commit(commits).catch(() => undefined);
    return Promise.resolve(commits.map(() => 'committed'));
  }
}

/** Gives a lease back, and leaves its fence as it is. */
class ReleasesWithoutFence extends SimulatedStore {
  override release(leases: readonly Lease[], delayMs: number): Promise<void> {
    return this.send('release', () => {
      for (const { taskId, fence } of leases) {
        const row = this.tables.tasks.get(taskId);
        if (row?.fence !== fence) continue;
        row.owner = null;
        row.fence--;
        row.dueAt = this.world.time.now + delayMs;
      }
    });
  }
}

/** Does not compare what had arrived when the activation looked. */
class LosesWakeUps extends SimulatedStore {
  override commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    return super.commit(commits.map((one) => ({ ...one, wantedSeen: Number.MAX_SAFE_INTEGER })));
  }
}

/** Children end, and nobody tells their parents. */
class NeverSettles extends SimulatedStore {
  override async settle(): Promise<Settled> {
    return { reported: 0, cancelled: [] };
  }
  override async report(): Promise<Reported> {
    return { reported: 0, due: false, owned: [] };
  }
}

/** Leases of processes that have died stay where they are. */
class NeverSweeps extends SimulatedStore {
  override async sweep(): Promise<number> {
    return 0;
  }
}

/** Gives the lease back as soon as the wait is stored, and does not look for what was kept before, nor later. */
class ForgetsKeptEvents extends SimulatedStore {
  override async collectKept(execution: string, _events: readonly string[], lease?: Lease): Promise<boolean> {
    return super.collectKept(execution, [], lease);
  }
  override async expire(): Promise<{ delivered: boolean; owed: boolean }> {
    return { delivered: false, owed: true };
  }
}

/** A cancel that leaves the tasks of the run where they are: who works on it ends it a second time. */
class CancelsTheHeaderOnly extends SimulatedStore {
  override cancel(filter: {
    readonly runIds?: readonly string[];
  }): Promise<{ execution: string; runId: string }[]> {
    return this.send('cancel', () =>
      [...this.tables.active.values()]
        .filter((run) => filter.runIds?.includes(run.runId))
        .map((run) => {
          this.tables.endRun(run, 'cancelled', this.world.time.now, null);
          return { execution: run.execution, runId: run.runId };
        }),
    );
  }
}

/** Stores that break a promise, each in one way: within so many seeds the simulation finds every one of them, by one of its rules. */
export const MUTANTS: readonly {
  readonly store: StoreClass;
  readonly within: number;
  readonly rules: readonly Rule[];
}[] = [
  {
    store: ForgetsTheFence,
    within: 200,
    rules: ['one writer for a fence', 'journaled is never executed again'],
  },
  { store: AnswersBeforeTheFlush, within: 20, rules: ['journaled before what depends on it'] },
  { store: ReleasesWithoutFence, within: 40, rules: ['one writer for a fence'] },
  { store: LosesWakeUps, within: 200, rules: ['every run ends'] },
  { store: NeverSettles, within: 20, rules: ['every run ends'] },
  { store: NeverSweeps, within: 40, rules: ['every run ends'] },
  { store: ForgetsKeptEvents, within: 40, rules: ['every run ends'] },
  { store: CancelsTheHeaderOnly, within: 60, rules: ['one outcome'] },
];
