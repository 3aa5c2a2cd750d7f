import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Step, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { WorkflowBench, WorkflowTestingModule } from 'nestjs-workflow/testing';

const DAY_MS = 24 * 3600 * 1000;

@Injectable()
class Mail {
  readonly sent: string[] = [];

  @Step()
  async send(text: string): Promise<number> {
    this.sent.push(text);
    return this.sent.length;
  }
}

@Workflow({ name: 'trial' })
class Trial {
  constructor(private readonly mail: Mail) {}

  async run(ctx: WorkflowContext<{ name: string }>): Promise<string> {
    await this.mail.send(`welcome ${ctx.payload.name}`);
    await ctx.sleep('trial month', '30d');
    await this.mail.send(`goodbye ${ctx.payload.name}`);
    return 'over';
  }
}

@Workflow({ name: 'daily' })
class Daily {
  async run(ctx: WorkflowContext<number>): Promise<Date[]> {
    const days: Date[] = [];
    for (let day = 0; day < ctx.payload; day++) {
      await ctx.sleep('until tomorrow', '1d');
      days.push(ctx.now());
    }
    return days;
  }
}

let module: TestingModule;
async function boot(): Promise<WorkflowBench> {
  module = await Test.createTestingModule({
    imports: [WorkflowTestingModule.forRoot()],
    providers: [Trial, Daily, Mail],
  }).compile();
  await module.init();
  return WorkflowBench.of(module);
}
afterEach(() => module?.close());

describe('a workflow that sleeps', () => {
  it('a month passes in no time, and not a moment early', async () => {
    const bench = await boot();
    const mail = module.get(Mail);
    const start = bench.now().getTime();
    const run = await module.get(WorkflowClient).trigger(Trial, { name: 'Ann' });
    await bench.untilIdle();
    expect(mail.sent).toEqual(['welcome Ann']);
    expect((await run.get()).status).toBe('waiting');

    await bench.advance('29d');
    expect(mail.sent).toHaveLength(1);
    await bench.advance('1d');
    expect(mail.sent).toEqual(['welcome Ann', 'goodbye Ann']);
    expect(await run.result()).toBe('over');
    expect((await run.get()).status).toBe('completed');
    expect(bench.now().getTime() - start).toBe(30 * DAY_MS);
  });

  it('thirty sleeps of a day are thirty different days', async () => {
    const bench = await boot();
    const start = bench.now().getTime();
    const run = await module.get(WorkflowClient).trigger(Daily, 30);
    await bench.advance('30d');
    const days = await run.result();
    expect(days.map((day) => day.getTime() - start)).toEqual(
      Array.from({ length: 30 }, (_, day) => (day + 1) * DAY_MS),
    );
  });

  it('is up in about a second', async () => {
    await boot(); // makes the dump where there is none yet
    await module.close();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const started = performance.now();
      await boot();
      times.push(Math.round(performance.now() - started));
      await module.close();
    }
    console.log(`WorkflowTestingModule: up in ${times.join(', ')} ms`);
    expect(Math.min(...times)).toBeLessThan(5000); // other test files share the processors
  });
});
