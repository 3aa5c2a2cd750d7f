import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SignalChannel } from '../../lib/ports/index.js';
import { WorkflowScheduler } from '../../lib/runtime/scheduler.js';
import { Echo, Gated, Go, startApp, Waits, type AppOptions, type TestApp } from '../client/support.js';
import { Counter, TickedClock, withClock } from '../support/counter.js';
import { behindEach, createPooled, type PooledDatabase } from './support.js';

const POLL_MS = 1000;
const HEARTBEAT_MS = 3000;
/** The longest between two looks for the end of a run, and for schedules. */
const RESULT_POLL_MS = 2000;
const SCHEDULES_MS = 30_000;

/** A process whose timers go by a clock that the test moves: what it does meanwhile it was told, and not found. */
class Process {
  private constructor(
    readonly app: TestApp,
    readonly clock: TickedClock,
    readonly counter: Counter,
  ) {}

  static async start(database: PooledDatabase, options: AppOptions['workflow'] = {}): Promise<Process> {
    const clock = new TickedClock();
    const app = await startApp(database, { imports: [withClock(clock)], workflow: options });
    const counter = new Counter(app.database, app.app.get(SignalChannel, { strict: false }));
    const process = new Process(app, clock, counter);
    await process.settled();
    return process;
  }

  get client(): TestApp['client'] {
    return this.app.client;
  }

  /** All that it has begun is over. */
  async settled(): Promise<void> {
    await this.app.app.get(WorkflowScheduler, { strict: false }).quiet();
    await this.counter.settled();
  }

  /** So much time passes, and all that comes of it is done. */
  pass(ms: number, settled = () => this.settled()): Promise<void> {
    return this.clock.pass(ms, settled);
  }
}

behindEach('a process that nobody tells', (pooler) => {
  let database: PooledDatabase;
  let worker: Process;
  let asker: Process;
  beforeEach(async () => {
    database = await createPooled(pooler());
    worker = await Process.start(database);
    asker = await Process.start(database, { worker: false });
  });
  afterEach(async () => {
    await worker.app.close();
    await asker.app.close();
    await database.dispose();
  });

  it('a run of another process begins with the next poll, and its end is found with the next look', async () => {
    const run = await asker.client.trigger(Echo, 7);
    // the NOTIFY is sent, and reaches nobody
    await asker.pass(100);
    expect(asker.counter.take()).toMatchObject({ workflow_trigger_lean: 1, workflow_notify: 1 });
    await worker.settled();
    expect(await asker.client.get(run.runId)).toMatchObject({ status: 'pending' });
    worker.counter.take();
    await worker.pass(POLL_MS);
    expect(await asker.client.get(run.runId)).toMatchObject({ status: 'completed' });
    expect(worker.counter.take().workflow_claim).toBeLessThanOrEqual(3);
    // one that waited before, and one that begins to wait now
    expect(await run.result()).toBe(7);
    const other = await asker.client.trigger(Echo, 8);
    const result = other.result();
    await asker.settled();
    await worker.pass(POLL_MS);
    asker.counter.take();
    await asker.pass(RESULT_POLL_MS);
    expect(await result).toBe(8);
    expect(asker.counter.take().workflow_ended_runs).toBeLessThanOrEqual(4);
  });

  it('an event, a cancel and a schedule of another process are found in the same way', async () => {
    const waiting = await asker.client.trigger(Waits, 'here');
    const gated = await asker.client.trigger(Gated, 'gate');
    const entered = worker.app.gates.enter('gate');
    // the step lasts, so the process is not quiet
    await worker.pass(POLL_MS, () => worker.counter.settled());
    const signal = await entered;
    await expect.poll(() => asker.client.get(waiting.runId)).toMatchObject({ status: 'waiting' });
    await asker.client.notify(Go('here'), 'news');
    await gated.cancel();
    expect(await asker.client.get(gated.runId)).toMatchObject({ status: 'cancelled' });
    expect(signal.aborted).toBe(false);
    await worker.pass(POLL_MS + HEARTBEAT_MS, () => worker.counter.settled());
    expect(signal.aborted).toBe(true);
    expect(await waiting.result()).toBe('news');
    worker.app.gates.release('gate');

    await asker.client.schedules.create(Echo, { id: 'tick', every: '1s', payload: 1 });
    worker.counter.take();
    await worker.pass(SCHEDULES_MS + HEARTBEAT_MS);
    expect(worker.counter.take().workflow_due_schedules).toBeGreaterThanOrEqual(1);
    await vi.waitFor(
      async () => {
        await worker.pass(POLL_MS);
        const { runs } = await asker.client.list({ label: 'schedule:tick' });
        expect(runs.filter(({ status }) => status === 'completed').length).toBeGreaterThanOrEqual(1);
      },
      { timeout: 60_000, interval: 200 },
    );
  });
});
