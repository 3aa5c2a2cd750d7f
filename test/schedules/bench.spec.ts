import { Injectable } from '@nestjs/common';
import { expect, it } from 'vitest';
import { Schedule, Step, Workflow, WorkflowContext } from 'nestjs-workflow';
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
    expect(ctx.now().getTime()).toBe(ctx.payload.at.getTime());
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
