import { Injectable } from '@nestjs/common';
import { expect, it } from 'vitest';
import { NonRetryableError, Schedule, Step, Workflow, WorkflowContext } from 'nestjs-workflow';
import { boot } from '../testing/support.js';

@Injectable()
class Log {
  readonly lines: string[] = [];
  @Step() async add(line: string): Promise<void> {
    this.lines.push(line);
  }
}

@Schedule({ cron: '0 * * * *', name: 'hourly', payload: ({ scheduledAt }) => ({ at: scheduledAt }) })
@Workflow({ name: 'report' })
class Report {
  constructor(private readonly log: Log) {}
  async run(ctx: WorkflowContext<{ at: Date }>): Promise<void> {
    await this.log.add(ctx.payload.at.toISOString());
    if (ctx.now().getTime() !== ctx.payload.at.getTime()) throw new NonRetryableError('at another time');
  }
}

it('a day has 24 hours, each with its run, in order', async () => {
  const { bench, client, module } = await boot([Report, Log]);
  const begun = bench.now();
  await bench.advance('1d');
  const { lines } = module.get(Log);
  const first = Math.ceil((begun.getTime() + 1) / 3_600_000) * 3_600_000;
  expect(lines).toEqual(Array.from({ length: 24 }, (_, n) => new Date(first + n * 3_600_000).toISOString()));
  const { runs } = await client.list({ label: 'schedule:hourly' });
  expect(runs.map(({ runId }) => runId).toReversed()).toEqual(lines.map((line) => `hourly@${line}`));
  expect(runs.every(({ status }) => status === 'completed')).toBe(true);
  expect(await client.schedules.get('hourly')).toMatchObject({
    lastAt: new Date(lines.at(-1)!),
    lastRunId: `hourly@${lines.at(-1)}`,
    source: 'code',
    cron: '0 * * * *',
    timezone: 'UTC',
  });
});

@Schedule({ every: '10m', overlap: 'queue', catchUp: 'all' })
@Workflow({ name: 'slow' })
class Slow {
  constructor(private readonly log: Log) {}
  async run(ctx: WorkflowContext<void>): Promise<void> {
    await this.log.add(`begin ${ctx.runId.slice(-13, -5)}`);
    await ctx.sleep('work', '15m');
    await this.log.add(`end ${ctx.runId.slice(-13, -5)}`);
  }
}

it('what waits in a queue begins when the run before has ended, also after a crash', async () => {
  const { bench, module } = await boot([Slow, Log]);
  await bench.advance('1h');
  await bench.crashAndRestart();
  await bench.advance('1h');
  const { lines } = module.get(Log);
  // the first begins within ten minutes, and each of the others when the one before has ended
  expect(lines.length).toBeGreaterThanOrEqual(14);
  const begun = lines.filter((line) => line.startsWith('begin'));
  for (const [at, line] of begun.entries()) {
    const minute = new Date(`1970-01-01T${line.slice(6)}Z`).getTime();
    const first = new Date(`1970-01-01T${begun[0]!.slice(6)}Z`).getTime();
    expect((minute - first + 86_400_000) % 86_400_000).toBe(at * 600_000);
    const next = lines[2 * at + 1];
    if (next !== undefined) expect(next).toBe(line.replace('begin', 'end'));
  }
});

@Schedule({
  every: '1h',
  payload: (): string => {
    throw new Error('nothing to report');
  },
})
@Workflow({ name: 'speechless' })
class Speechless {
  async run(ctx: WorkflowContext<string>): Promise<string> {
    return ctx.payload;
  }
}

it('tells of a payload that could not be made', async () => {
  const { bench } = await boot([Speechless], undefined);
  await expect(bench.advance('1h')).rejects.toThrow('nothing to report');
});
