import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { currentStep, Step, Workflow, WorkflowContext } from 'nestjs-workflow';
import { boot, Gate } from './support.js';

@Injectable()
class Work {
  readonly calls: string[] = [];
  reached = new Gate();
  readonly held = new Gate();
  hold: string | undefined;
  signal: AbortSignal | undefined;

  @Step()
  async part(name: string): Promise<string> {
    this.calls.push(name);
    if (name !== this.hold) return name;
    this.signal = currentStep().signal;
    this.reached.open();
    await this.held.opened;
    return name;
  }
}

@Workflow({ name: 'parts' })
class Parts {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext): Promise<string[]> {
    const first = await this.work.part('first');
    const [left, right] = await Promise.all([this.work.part('left'), this.work.part('right')]);
    await ctx.sleep('a day', '1d');
    return [first, left, right, await this.work.part('last')];
  }
}

const count = (calls: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const call of calls) counts[call] = (counts[call] ?? 0) + 1;
  return counts;
};

describe('crashAndRestart', () => {
  it.each(['first', 'left', 'right', 'last'] as const)(
    'in the middle of %s: that step is executed again, the journaled ones are not',
    async (hold) => {
      const { module, bench, client } = await boot([Parts, Work]);
      const work = module.get(Work);
      work.hold = hold;
      const run = await client.trigger(Parts, undefined);
      const month = bench.advance('30d');
      await work.reached.opened;
      // of two that run side by side, the other one is through before the crash
      const finished = async (): Promise<string[]> =>
        (await client.journal(run.runId)).filter((entry) => entry.finishedAt !== null).map(({ key }) => key);
      const before = { first: 0, left: 2, right: 2, last: 4 }[hold];
      await expect.poll(finished, { interval: 5 }).toHaveLength(before);
      work.hold = undefined;
      await bench.crashAndRestart();
      expect(work.signal!.aborted).toBe(true);
      await month;
      work.held.open();
      expect(await run.result()).toEqual(['first', 'left', 'right', 'last']);
      expect(count(work.calls)).toEqual({ first: 1, left: 1, right: 1, last: 1, [hold]: 2 });
    },
  );

  it('between two steps nothing is executed twice, whenever it comes', async () => {
    const { module, bench, client } = await boot([Parts, Work]);
    const run = await client.trigger(Parts, undefined);
    await bench.untilIdle();
    await bench.crashAndRestart();
    await bench.crashAndRestart();
    await bench.untilIdle();
    await bench.advance('1d');
    expect(await run.result()).toHaveLength(4);
    expect(count(module.get(Work).calls)).toEqual({ first: 1, left: 1, right: 1, last: 1 });
  });

  it('a step that kills the process each time does not go on for ever', async () => {
    const { module, bench, client } = await boot([Parts, Work]);
    const work = module.get(Work);
    work.hold = 'first';
    const run = await client.trigger(Parts, undefined);
    for (let crash = 0; crash < 5; crash++) {
      await work.reached.opened;
      work.reached = new Gate();
      await bench.crashAndRestart();
    }
    await bench.untilIdle();
    await expect(run.result()).rejects.toThrow(/WF_WORKER_LOST/);
  });
});
