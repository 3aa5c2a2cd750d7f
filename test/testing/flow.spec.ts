import { expect, it } from 'vitest';
import { Workflow, WorkflowContext, type WorkflowHandler } from 'nestjs-workflow';
import { boot } from './support.js';

@Workflow({ name: 'once' })
class Once implements WorkflowHandler<number, number> {
  static started: number[] = [];
  async run(ctx: WorkflowContext<number>): Promise<number> {
    return ctx.run('work', () => Once.started.push(ctx.payload));
  }
}

@Workflow({ name: 'long', singleton: { key: 'long', policy: 'queue' } })
class Long implements WorkflowHandler<void, void> {
  async run(ctx: WorkflowContext<void>): Promise<void> {
    await ctx.sleep('a day', '1d');
  }
}

it('a rate goes by the time of the bench: what waits for it is idle, and starts when time has moved on', async () => {
  Once.started = [];
  const { bench, client } = await boot([Once]);
  const flowControl = { key: 'k', rate: 2, period: '1h' } as const;
  await client.triggerMany(
    Once,
    [1, 2, 3, 4, 5].map((payload) => ({ payload, flowControl })),
  );
  await bench.untilIdle();
  expect(Once.started).toHaveLength(2);
  await bench.advance('59m');
  expect(Once.started).toHaveLength(2);
  await bench.advance('2m');
  expect(Once.started).toHaveLength(4);
  await bench.advance('2h');
  expect(Once.started).toHaveLength(5);
});

it('so do lines that are full or paused, and runs that queue for a singleton key', async () => {
  Once.started = [];
  const { bench, client } = await boot([Once, Long]);
  const flowControl = { key: 'k', parallelism: 1 } as const;
  await client.flowControl.pause('k');
  await client.triggerMany(
    Once,
    [1, 2, 3].map((payload) => ({ payload, flowControl })),
  );
  const [first, second] = await client.triggerMany(Long, [{ payload: undefined }, { payload: undefined }]);
  await bench.untilIdle();
  expect(Once.started).toEqual([]);
  await client.flowControl.resume('k');
  await bench.untilIdle();
  expect(Once.started).toHaveLength(3);
  await bench.advance('1d');
  expect((await first!.get()).status).toBe('completed');
  expect((await second!.get()).status).toBe('waiting');
  await bench.advance('1d');
  expect((await second!.get()).status).toBe('completed');
});
