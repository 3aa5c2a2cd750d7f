import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import {
  ChildFailedError,
  NonRetryableError,
  Workflow,
  WORKFLOW_DATA_SOURCE,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
} from '../../../lib/index.js';
import { silentLogger } from '../../support/silent-logger.js';
import { PARENT, type FamilyOrder, type FamilyReport, type Got, type Part } from '../family.js';

// A process that serves a parent and its children, cancels some of these from outside, and is killed at any moment.
const order = JSON.parse(process.argv[2]!) as FamilyOrder;
const doomed = [...order.doomed];
process.on('message', (runId: string) => void doomed.push(runId));

@Workflow({ name: 'part', retries: 0 })
class PartWorkflow {
  async run(ctx: WorkflowContext<Part>): Promise<number> {
    const { n, how } = ctx.payload;
    const twice = await ctx.run('double', () => {
      // a line that no crash takes back
      appendFileSync(order.file, `${ctx.runId}\n`);
      return n * 2;
    });
    if (how === 'fails') throw new NonRetryableError(`part ${n} failed`);
    if (how === 'waits') await ctx.waitForEvent('never', 'never');
    if (how === 'nests') await ctx.invoke('leaf', PartWorkflow, { n, how: 'waits' }, { runId: `leaf ${n}` });
    return twice;
  }
}

@Workflow({ name: 'family', retries: 0 })
class Family {
  async run(ctx: WorkflowContext<Part[]>): Promise<Got[]> {
    return Promise.all(
      ctx.payload.map((part) =>
        ctx.invoke('part', PartWorkflow, part, { runId: `part ${part.n}` }).then(
          (value): Got => ({ status: 'completed', value }),
          (error: ChildFailedError): Got => ({
            status: error.cancelled ? 'cancelled' : 'failed',
            message: error.failure.message,
          }),
        ),
      ),
    );
  }
}

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: order.database,
      transport: order.transport,
      worker: { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms' },
    }),
  ],
  providers: [PartWorkflow, Family],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: silentLogger });
const source = app.get<DataSource>(getDataSourceToken(WORKFLOW_DATA_SOURCE), { strict: false });
await app.listen(0, '127.0.0.1');
const client = app.get(WorkflowClient);
process.send!({ at: 'started' });
const parent = await client.trigger(Family, order.parts, { runId: PARENT });

const query = <R>(text: string): Promise<R[]> => source.query(text);
const ended = async (): Promise<boolean> =>
  (await query(`select 1 from workflow_run where run_id = '${PARENT}' and status <> 'active'`)).length > 0;

// each time some others, again and again: those that were not there yet, or had a parent in the way
let from = order.cancelFrom;
while (!(await ended())) {
  await client.cancel(doomed.slice(from, from + 20));
  from = from + 20 < doomed.length ? from + 20 : 0;
  await pause(20);
}

const owed = (): Promise<{ what: string }[]> =>
  query(`select 'task ' || execution || ' ' || step_key as what from workflow_task
    union all select 'message ' || execution from workflow_message
    union all select 'mark ' || run_id from workflow_run where unreported or uncascaded`);
let left = await owed();
for (const end = Date.now() + 10_000; left.length > 0 && Date.now() < end; left = await owed())
  await pause(20);
const report: FamilyReport = {
  at: 'finished',
  got: await parent.result({ timeout: '1s' }).catch((error: Error) => error.message),
  runs: await query('select run_id, status, result, error from workflow_run order by id'),
  steps: await query(
    `select r.run_id, s.key, s.state, s.position from workflow_step s join workflow_run r on r.id = s.execution`,
  ),
  left: left.map(({ what }) => what),
};
process.send!(report);
