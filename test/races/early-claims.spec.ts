import { Injectable } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  defineEvent,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowScheduler,
} from 'nestjs-workflow';
import { RunStore } from '../../lib/ports/index.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, Gates, type Instance } from './support.js';

const Told = defineEvent<string>('told');

@Injectable()
class Log {
  readonly executed: { readonly runId: string; readonly at: number }[] = [];
  now: () => Promise<number> = async () => 0;

  @Step() async add(runId: string): Promise<void> {
    this.executed.push({ runId, at: await this.now() });
  }
}

@Workflow({ name: 'naps' })
class Naps {
  constructor(private readonly log: Log) {}
  async run(ctx: WorkflowContext<number>): Promise<void> {
    for (let n = 0; n < ctx.payload; n++) {
      await ctx.sleep('nap', '20ms');
      await this.log.add(ctx.runId);
    }
  }
}

@Workflow({ name: 'waits-a-while' })
class WaitsAWhile {
  async run(ctx: WorkflowContext<void>): Promise<string> {
    const { timedOut, data } = await ctx.waitForEvent('w', Told(ctx.runId), { timeout: '3s' });
    return timedOut ? 'timed out' : data;
  }
}

/** No poll and no beat helps. */
const DEAF = { pollInterval: '1h', heartbeat: '1h', leaseTimeout: '3h' } as const;

describe.each(DATABASES)('a task that is claimed a moment before it is due, on $name', ({ create }) => {
  let db: TestDatabase;
  let at: Instance;
  beforeEach(async () => {
    db = await create();
  });
  afterEach(async () => {
    await at?.app.close();
    await db?.dispose();
  });
  const start = async (transport: 'in-process' | 'http', probe = new Gates()): Promise<WorkflowClient> => {
    at = await boot(db, { transport, probe, providers: [Log, Naps, WaitsAWhile], worker: DEAF });
    return at.get(WorkflowClient);
  };

  it.each(['in-process', 'http'] as const)('starts nothing before it is, over %s', async (transport) => {
    const client = await start(transport);
    const log = at.get(Log);
    log.now = async () => {
      const [row] = await at.rows<{ now: number }>(
        'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
      );
      return row!.now;
    };
    await (await client.trigger(Naps, 10, { runId: 'r' })).result();
    const due = await at.rows<{ due: number }>(
      `select (extract(epoch from wake_at) * 1000)::float8 as due from workflow_step where kind = 'sleep' order by position`,
    );
    expect(due).toHaveLength(10);
    expect(log.executed.filter((one, n) => one.at < due[n]!.due)).toEqual([]);
  });

  it('and is cancelled before that: nothing of it is executed any more', async () => {
    const gates = new Gates();
    const client = await start('in-process', gates);
    const claimed = gates.hold('claimed');
    const run = await client.trigger(Naps, 1, { runId: 'r' });
    await claimed.reached;
    await client.cancel('r');
    claimed.open();
    await expect(run.result()).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
    await at.get(WorkflowScheduler).quiet();
    expect(at.get(Log).executed).toEqual([]);
  });

  it('and given back at once by a process that stops: another one goes on', async () => {
    const gates = new Gates();
    const client = await start('in-process', gates);
    const claimed = gates.hold('claimed');
    await client.trigger(Naps, 1, { runId: 'r' });
    await claimed.reached;
    at.get(WorkflowScheduler).stop();
    claimed.open();
    await at.get(WorkflowScheduler).quiet();
    expect(await at.rows('select lease_owner from workflow_task')).toEqual([{ lease_owner: null }]);
    at.get(WorkflowScheduler).resume();
    await client.run(Naps, 'r').result();
    expect(at.get(Log).executed).toHaveLength(1);
  });

  it('and sent the event that it waits for before its time is up: the event wins', async () => {
    const gates = new Gates();
    const client = await start('in-process', gates);
    const scheduler = at.get(WorkflowScheduler);
    const store = at.app.get(RunStore);
    // as early as can be, so that there is time left on any machine: by itself it is claimed 6 to 10 ms before it is due
    const claim = store.claim.bind(store);
    vi.spyOn(store, 'claim').mockImplementation((...given) => {
      given[7] = 60_000;
      return claim(...given);
    });
    const run = await client.trigger(WaitsAWhile, undefined, { runId: 'r' });
    await expect
      .poll(() => at.rows('select lease_owner from workflow_task'))
      .toEqual([{ lease_owner: null }]);
    const claimed = gates.hold('claimed');
    scheduler.wake();
    await claimed.reached;
    await run.notify(Told('r'), 'in time');
    expect(await at.rows(`select wake_at > clock_timestamp() as early from workflow_step`)).toEqual([
      { early: true },
    ]);
    claimed.open();
    expect(await run.result()).toBe('in time');
  });

  it('and noted while a claim is under way that knows nothing of it yet: it is not forgotten', async () => {
    const client = await start('in-process');
    const scheduler = at.get(WorkflowScheduler);
    await scheduler.quiet();
    const store = at.app.get(RunStore);
    const claim = store.claim.bind(store);
    let back: () => void = () => {};
    const held = new Promise<void>((resolve) => (back = resolve));
    const read = new Promise<void>((resolve) => {
      vi.spyOn(store, 'claim').mockImplementationOnce(async (...given) => {
        const claimed = await claim(...given);
        resolve();
        await held;
        return claimed;
      });
    });
    scheduler.wake();
    await read;
    const run = await client.trigger(Naps, 1, { runId: 'r' });
    await scheduler.idle();
    expect(at.get(Log).executed).toEqual([]);
    back();
    await run.result();
    expect(at.get(Log).executed).toHaveLength(1);
  });
});
