import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowError, currentStep, defineEvent, type WorkflowContext } from 'nestjs-workflow';
import { Bench, Latch, MODES } from './support.js';

const Told = defineEvent<string>('told');

@Workflow({ name: 'child' })
class Child {
  async run(ctx: WorkflowContext<{ of: string }>) {
    return `child of ${ctx.payload.of}`;
  }
}

describe.each(MODES)('the context: $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode, { providers: [Child] });
  });
  afterAll(() => bench.dispose());

  it('now, random and uuid are the same in every replay, whatever the steps between them did', async () => {
    const replays: unknown[][] = [];
    const run = await bench.start(async (ctx) => {
      const values: unknown[] = [];
      replays.push(values);
      const take = (): void => void values.push(ctx.now().toISOString(), ctx.random(), ctx.uuid());
      take();
      for (let i = 0; i < 12; i++) {
        await ctx.run('step', () => [ctx.random(), ctx.uuid(), ctx.now()]);
        take();
      }
      await Promise.all([
        ctx.run('a', () => ctx.random()).then(take),
        ctx.run('b', () => ctx.uuid()).then(take),
        ctx.sleep('c', '1ms').then(take),
      ]);
      await ctx.waitForEvent('wait', Told(ctx.runId));
      take();
      return values;
    });
    await run.waitsFor('wait');
    await run.handle.notify(Told(run.runId), 'go');
    const last = (await run.result()) as unknown[];
    for (const values of replays) expect(values).toEqual(last.slice(0, values.length));
    expect(replays.length).toBeGreaterThan(mode.fresh ? 2 : 0);
    // no two are alike, and time does not go back
    const column = (at: number): unknown[] => last.filter((_, i) => i % 3 === at);
    expect(new Set(column(1)).size).toBe(column(1).length);
    expect(new Set(column(2)).size).toBe(column(2).length);
    const times = column(0).map((time) => Date.parse(time as string));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  it('random and uuid inside a step are the same for each of its attempts, and differ from step to step', async () => {
    const attempts: string[] = [];
    const run = await bench.start(async (ctx) => {
      const step = (name: string): Promise<string> =>
        ctx.run(name, ({ attempt }) => {
          attempts.push(`${ctx.uuid()} ${ctx.random()} ${ctx.uuid()}`);
          if (attempt < 2) throw new Error('again');
          return attempts.at(-1)!;
        });
      return [await step('a'), await step('b')];
    });
    const [a, b] = (await run.result()) as string[];
    expect(attempts).toEqual([a, a, b, b]);
    expect(a).not.toBe(b);
    expect(a!.split(' ')[0]).not.toBe(a!.split(' ')[2]);
  });

  it('the logger of run says each line once, however often the code is replayed; steps always speak', async () => {
    const run = await bench.start(async (ctx) => {
      const say = (what: string): void => ctx.logger.log(`${ctx.runId} ${what}`);
      say('begun');
      await ctx.run('one', () => say('in step one'));
      say('after one');
      await Promise.all([ctx.run('a', () => say('in step a')), ctx.run('b', () => say('in step b'))]);
      say('after both');
      await ctx.sleep('nap', '1h');
      say('after the nap');
      await ctx.waitForEvent('wait', Told(ctx.runId));
      say('after the event');
      await ctx.run('last', ({ attempt }) => {
        say(`in the last step ${attempt}`);
        if (attempt < 2) throw new Error('again');
      });
      ctx.logger.warn(`${ctx.runId} ended`);
    });
    await run.waitsFor('nap');
    bench.move(3_600_000);
    await run.waitsFor('wait');
    await run.handle.notify(Told(run.runId), 'go');
    await run.result();
    const lines = bench.linesWith(run.runId).map((line) => line.replace(`${run.runId} `, ''));
    expect(lines.toSorted()).toEqual(
      [
        'log: begun',
        'log: in step one',
        'log: after one',
        'log: in step a',
        'log: in step b',
        'log: after both',
        'log: after the nap',
        'log: after the event',
        'log: in the last step 1',
        'log: in the last step 2',
        'warn: ended',
      ].toSorted(),
    );
    expect(run.replays).toBeGreaterThan(mode.fresh ? 2 : 0);
  });

  it('cancel ends the run there, and nothing behind it is executed', async () => {
    const went: string[] = [];
    const run = await bench.start(async (ctx) => {
      await ctx.run('before', () => went.push('before'));
      try {
        await ctx.cancel();
      } finally {
        went.push('finally');
      }
      await ctx.run('after', () => went.push('after'));
    });
    expect((await run.failure()).code).toBe('WF_RUN_CANCELLED');
    expect((await run.handle.get()).status).toBe('cancelled');
    expect(went).toEqual(['before']);
  });

  it('cancel from outside fires the signal of what executes', async () => {
    const started = new Latch();
    const aborted = new Latch<string>();
    const run = await bench.start((ctx) =>
      ctx.run('long', async ({ signal }) => {
        started.open();
        signal.addEventListener('abort', () => aborted.open('aborted'));
        await aborted.opened;
      }),
    );
    await started.opened;
    await run.handle.cancel();
    expect(await aborted.opened).toBe('aborted');
    expect((await run.handle.get()).status).toBe('cancelled');
  });

  it('trigger starts another run once, and gives its id in every replay', async () => {
    const ids: string[] = [];
    const run = await bench.start(async (ctx) => {
      const { runId } = await ctx.trigger('child', Child, { of: ctx.runId });
      const named = await ctx.trigger('named', Child, { of: 'named' }, { runId: `${ctx.runId}/child` });
      ids.push(runId, named.runId);
      await ctx.sleep('nap', '1h');
      await ctx.run('after', () => 1);
      return ids;
    });
    await run.waitsFor('nap');
    bench.move(3_600_000);
    await run.result();
    const [child] = ids;
    expect(new Set(ids)).toEqual(new Set([child, `${run.runId}/child`]));
    expect(await bench.client.run(Child, child!).result({ timeout: '10s' })).toBe(`child of ${run.runId}`);
    const { runs } = await bench.client.list({ workflow: Child, limit: 1000 });
    const started = runs.filter(({ payload }) => (payload as { of: string }).of === run.runId);
    expect(started).toHaveLength(1);
  });

  it('notify sends an event once, and tells whom it woke', async () => {
    const receiver = await bench.start(async (ctx) => {
      const one = await ctx.waitForEvent('told', Told(ctx.runId));
      const two = await ctx.waitForEvent('told', Told(ctx.runId), { timeout: '1h' });
      return [one.data, two.timedOut];
    });
    await receiver.waitsFor('told');
    const sender = await bench.start(async (ctx) => {
      const result = await ctx.notify('tell', Told(receiver.runId), `from ${ctx.runId}`);
      await ctx.sleep('nap', '1h');
      await ctx.run('after', () => 1);
      return result;
    });
    await sender.waitsFor('nap');
    await receiver.waitsFor('told#2');
    bench.move(3_600_000);
    expect(await sender.result()).toEqual({ woken: [receiver.runId], kept: false });
    expect(await receiver.result()).toEqual([`from ${sender.runId}`, true]);
  });

  it('a change through the client is refused in run, and works inside a step', async () => {
    const run = await bench.start(async (ctx) => {
      const codes: unknown[] = [];
      const { client } = bench;
      for (const call of [
        () => client.trigger(Child, { of: 'x' }),
        () => client.triggerMany(Child, [{ payload: { of: 'x' } }]),
        () => client.notify('event', 1),
        () => client.cancel('nobody'),
        () => client.run(Child, 'nobody').notify('event', 1),
        () => client.run(Child, 'nobody').cancel(),
      ]) {
        const error = await (call() as Promise<unknown>).catch((thrown: unknown) => thrown);
        codes.push(WorkflowError.is(error) && error.code);
      }
      const inside = await ctx.run('inside', async () => {
        const child = await client.trigger(Child, { of: 'a step' });
        return child.result({ timeout: '10s' });
      });
      return { codes, inside };
    });
    expect(await run.result()).toEqual({
      codes: Array(6).fill('WF_SIDE_EFFECT_IN_RUN'),
      inside: 'child of a step',
    });
  });

  it('what waits, or ends the run, is refused inside a step; a step inside a step is a plain call', async () => {
    const run = await bench.start(async (ctx) =>
      ctx.run('outer', async (outer) => {
        const messages: string[] = [];
        for (const call of [
          () => ctx.sleep('nap', '1s'),
          () => ctx.sleepUntil('nap', new Date()),
          () => ctx.waitForEvent('told', 'x'),
          () => ctx.notify('tell', 'x', 1),
          () => ctx.trigger('child', Child, { of: 'x' }),
          () => ctx.cancel(),
        ]) {
          try {
            await call();
          } catch (error) {
            messages.push((error as Error).message.split(' is called')[0]!);
          }
        }
        const inner = await ctx.run('inner', (step) => step === outer && currentStep() === outer);
        const thrown = await ctx
          .run('inner', () => {
            throw new Error('plain');
          })
          .catch((error: Error) => error.message);
        return { messages, inner, thrown, step: outer.step };
      }),
    );
    expect(await run.result()).toEqual({
      messages: [
        'ctx.sleep("nap")',
        'ctx.sleepUntil("nap")',
        'ctx.waitForEvent("told")',
        'ctx.notify("tell")',
        'ctx.trigger("child")',
        'ctx.cancel()',
      ],
      inner: true,
      thrown: 'plain',
      step: 'outer',
    });
    expect((await run.journal()).map(({ key }) => key)).toEqual(['outer']);
  });

  it('bad arguments are refused before anything is asked', async () => {
    const run = await bench.start(async (ctx) => {
      const codes: unknown[] = [];
      for (const call of [
        () => ctx.sleep('nap', '1hour' as '1h'),
        () => ctx.sleepUntil('nap', new Date(NaN)),
        () => ctx.sleep('', '1h'),
        () => ctx.run('a\0b', () => 1),
        () => ctx.waitForEvent('wait', ''),
        () => ctx.waitForEvent('wait', 'x', { timeout: '-1s' }),
        () => ctx.run('step', () => 1, { retries: -1 }),
      ]) {
        try {
          await call();
        } catch (error) {
          codes.push((error as WorkflowError).code);
        }
      }
      return codes;
    });
    expect(await run.result()).toEqual([
      'WF_INVALID_DURATION',
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_ARGUMENT',
      'WF_INVALID_DURATION',
      'WF_INVALID_OPTIONS',
    ]);
    expect(await run.journal()).toEqual([]);
  });

  it('a run knows itself, and its steps know theirs', async () => {
    const run = await bench.start(async (ctx) => {
      const { runId, workflow, labels, attempt } = ctx;
      const step = await ctx.run('step', (own) => ({
        key: own.step,
        runId: own.runId,
        workflow: own.workflow,
        attempt: own.attempt,
        idempotencyKey: own.idempotencyKey,
        aborted: own.signal.aborted,
      }));
      return { runId, workflow, labels, attempt, step };
    });
    const { runId } = run;
    expect(await run.result()).toEqual({
      runId,
      workflow: 'scripted',
      labels: [],
      attempt: 1,
      step: {
        key: 'step',
        runId,
        workflow: 'scripted',
        attempt: 1,
        idempotencyKey: expect.stringMatching(new RegExp(`^${runId}/\\d+/step$`)) as string,
        aborted: false,
      },
    });
  });
});
