import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { currentStep, StepFailedError, Workflow, WorkflowContext } from 'nestjs-workflow';
import { boot, Gate } from './support.js';

const HALF_MINUTES_OF_6_HOURS = 720;

@Injectable()
class Render {
  readonly looks: { at: number; attempt: number }[] = [];
  clock: () => Date = () => new Date(0);
  /** the look that finds it */
  readyAt = Infinity;
  /** looks that fail */
  fails: (look: number) => boolean = () => false;
  hold: number | undefined;
  readonly reached = new Gate();
  readonly held = new Gate();

  async status(): Promise<string | undefined> {
    const { attempt } = currentStep();
    this.looks.push({ at: this.clock().getTime(), attempt });
    if (attempt === this.hold) {
      this.reached.open();
      await this.held.opened;
    }
    if (this.fails(attempt)) throw new Error(`look ${attempt} failed`);
    return attempt >= this.readyAt ? 'https://example.org/video' : undefined;
  }
}

@Workflow({ name: 'render' })
class RenderVideo {
  constructor(private readonly render: Render) {}

  async run(ctx: WorkflowContext<{ beside: boolean }>): Promise<unknown> {
    const poll = ctx.poll('ready', () => this.render.status(), {
      every: '30s',
      timeout: '6h',
      retries: 2,
      retryDelay: '7s',
    });
    const beside = ctx.payload.beside ? ctx.sleep('beside', '7h') : undefined;
    try {
      return await poll;
    } catch (error) {
      return (error as StepFailedError).attempts;
    } finally {
      await beside;
    }
  }
}

async function rendering(): Promise<Awaited<ReturnType<typeof boot>> & { render: Render; start: number }> {
  const booted = await boot([RenderVideo, Render]);
  const render = booted.module.get(Render);
  render.clock = () => booted.bench.now();
  return { ...booted, render, start: booted.bench.now().getTime() };
}

describe('ctx.poll', () => {
  it.each([false, true])(
    'every 30 s for 6 hours are 720 looks after the first, and one row; beside another step: %s',
    async (beside) => {
      const { render, bench, client, start } = await rendering();
      const run = await client.trigger(RenderVideo, { beside });
      await bench.untilIdle();
      expect(render.looks).toHaveLength(1);
      await bench.advance('6h');
      const seconds = render.looks.map(({ at }) => (at - start) / 1000);
      expect(seconds).toEqual(Array.from({ length: 1 + HALF_MINUTES_OF_6_HOURS }, (_, i) => i * 30));
      expect(render.looks.map(({ attempt }) => attempt)).toEqual(seconds.map((_, i) => i + 1));
      await bench.advance('1h');
      expect(await run.result()).toEqual({ timedOut: true, value: undefined });
      expect(render.looks).toHaveLength(1 + HALF_MINUTES_OF_6_HOURS);
      const journal = await client.journal(run.runId);
      expect(journal.map(({ key, kind, attempts, timedOut }) => [key, kind, attempts, timedOut])).toEqual([
        ['ready', 'poll', 1 + HALF_MINUTES_OF_6_HOURS, true],
        ...(beside ? [['beside', 'sleep', 0, undefined]] : []),
      ]);
    },
  );

  it('finds it at the turn at which it is there', async () => {
    const { render, bench, client, start } = await rendering();
    render.readyAt = 5;
    const run = await client.trigger(RenderVideo, { beside: false });
    await bench.advance('6h');
    expect(await run.result()).toEqual({ timedOut: false, value: 'https://example.org/video' });
    expect(render.looks.at(-1)).toEqual({ at: start + 120_000, attempt: 5 });
  });

  it('a look that fails is repeated by its retry policy, and the turns stay where they are', async () => {
    const { render, bench, client, start } = await rendering();
    render.fails = (look) => look === 2 || look === 3;
    render.readyAt = 5;
    const run = await client.trigger(RenderVideo, { beside: false });
    await bench.advance('6h');
    expect(await run.result()).toMatchObject({ timedOut: false });
    expect(render.looks.map(({ at }) => (at - start) / 1000)).toEqual([0, 30, 37, 44, 60]);
  });

  it('three failures in a row are more than two retries: the step has failed', async () => {
    const { render, bench, client, start } = await rendering();
    render.fails = (look) => look !== 3;
    const run = await client.trigger(RenderVideo, { beside: false });
    await bench.advance('6h');
    expect(await run.result()).toBe(6);
    expect(render.looks.map(({ at }) => (at - start) / 1000)).toEqual([0, 7, 14, 30, 37, 44]);
  });

  it('a last look that fails is a timeout', async () => {
    const { render, bench, client, start } = await rendering();
    render.fails = (look) => look === 1 + HALF_MINUTES_OF_6_HOURS;
    const run = await client.trigger(RenderVideo, { beside: false });
    await bench.advance('7h');
    expect(await run.result()).toEqual({ timedOut: true, value: undefined });
    expect((render.looks.at(-1)!.at - start) / 3_600_000).toBe(6);
  });

  it.each([false, true])(
    'a crash during a look costs that look alone; beside another step: %s',
    async (beside) => {
      const { render, bench, client } = await rendering();
      render.readyAt = 6;
      render.hold = 4;
      const run = await client.trigger(RenderVideo, { beside });
      const advanced = bench.advance('8h');
      await render.reached.opened;
      render.hold = undefined;
      await bench.crashAndRestart();
      render.held.open();
      await advanced;
      expect(await run.result()).toMatchObject({ timedOut: false });
      expect(render.looks.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 4, 5, 6]);
      const [entry] = await client.journal(run.runId);
      expect(entry).toMatchObject({ key: 'ready', attempts: 6 });
    },
  );

  it('a crash between two looks changes nothing', async () => {
    const { render, bench, client, start } = await rendering();
    render.readyAt = 4;
    const run = await client.trigger(RenderVideo, { beside: false });
    for (let i = 0; i < 3; i++) {
      await bench.untilIdle();
      await bench.crashAndRestart();
      await bench.advance('30s');
    }
    expect(await run.result()).toMatchObject({ timedOut: false });
    expect(render.looks.map(({ at, attempt }) => [attempt, (at - start) / 1000])).toEqual([
      [1, 0],
      [2, 30],
      [3, 60],
      [4, 90],
    ]);
  });
});
