import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { Workflow, WorkflowContext, WorkflowSchedules } from 'nestjs-workflow';
import { ScheduleRunner, type ScheduleRound } from '../../lib/runtime/schedules.js';
import { WorkflowScheduler } from '../../lib/runtime/scheduler.js';
import { SystemClock } from '../../lib/runtime/system-clock.js';
import { CLOCK_OVERRIDE } from '../../lib/workflow.tokens.js';
import { startApp, type AppOptions, type TestApp } from '../client/support.js';
import type { TestDatabase } from '../support/databases.js';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** The time of runs of several processes; it stands still until the test moves it. */
export class SharedClock extends SystemClock {
  constructor(public at: number) {
    super();
  }
  override sqlNow(): null {
    // the base class is that of production, and has none
    return new Date(this.at) as unknown as null;
  }
  override sqlElapsed(): number {
    return this.at;
  }
}

@Module({})
class ClockModule {}
const withClock = (clock: SharedClock): DynamicModule => {
  const provider: Provider = { provide: CLOCK_OVERRIDE, useValue: clock };
  return { module: ClockModule, global: true, providers: [provider], exports: [provider] };
};

/** Where the runs of all processes of a test leave their payloads. */
export const executed: string[] = [];

@Workflow({ name: 'job' })
export class Job {
  async run(ctx: WorkflowContext<string>): Promise<void> {
    await ctx.run('execute', () => void executed.push(ctx.runId));
  }
}

/** Lasts until somebody cancels it, or sends it an event. */
@Workflow({ name: 'long-job' })
export class LongJob {
  async run(ctx: WorkflowContext<string | undefined>): Promise<void> {
    await ctx.waitForEvent('enough', `enough ${ctx.runId}`);
  }
}

export interface Process extends TestApp {
  readonly schedules: WorkflowSchedules;
  readonly runner: ScheduleRunner;
  /** Starts what is due at the time of the clock, and waits until its runs are through. */
  work(): Promise<ScheduleRound>;
}

const QUIET = { pollInterval: '20ms', heartbeat: '1h', leaseTimeout: '3h' } as const;

export async function startProcess(
  database: TestDatabase,
  clock: SharedClock | undefined,
  options: AppOptions = {},
): Promise<Process> {
  const app = await startApp(database, {
    providers: [Job, LongJob],
    ...options,
    imports: [...(clock ? [withClock(clock)] : []), ...(options.imports ?? [])],
    workflow: { worker: QUIET, ...options.workflow },
  });
  const runner = app.app.get(ScheduleRunner, { strict: false });
  const scheduler = app.app.get(WorkflowScheduler, { strict: false });
  // its first look
  await runner.look();
  return Object.assign(app, {
    schedules: app.client.schedules,
    runner,
    work: async () => {
      const round = await runner.look();
      scheduler.wake();
      await scheduler.quiet();
      return round;
    },
  });
}

/** Ids of all runs of a schedule, in the order in which they were inserted. */
export async function runsOf({ client }: TestApp, schedule: string): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ label: `schedule:${schedule}`, limit: 1000, ...(cursor && { cursor }) });
    ids.push(...page.runs.map(({ runId }) => runId));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids.toReversed();
}

/** What stands behind the id in the ids of its runs. */
export const timesOfRuns = async (app: TestApp, schedule: string): Promise<number[]> =>
  (await runsOf(app, schedule)).map((runId) => Date.parse(runId.slice(schedule.length + 1)));
