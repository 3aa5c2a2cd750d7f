import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Global, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import {
  currentStep,
  defineEvent,
  FailureContext,
  NonRetryableError,
  OnFailure,
  RunFailedError,
  Step,
  Workflow,
  WORKFLOW_DATA_SOURCE,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
  WorkflowScheduler,
  type WorkflowHandler,
} from '../../../lib/index.js';
import { Probe, type ProbePoint } from '../../../lib/ports/probe.js';
import { silentLogger } from '../../support/silent-logger.js';
import type { Order, Outcome, Snapshot, Started, Variant } from '../protocol.js';

// A worker process: boots a small application, tells what the database holds before anything is claimed, and then either
// starts one run and dies at a given point of it, or brings all runs that it is told of to their ends.
const order = JSON.parse(process.argv[2]!) as Order;

/** Each execution leaves a line that no crash takes back: this file, not our tables, says how often a step was executed. */
function executed(): void {
  const { runId, step, attempt } = currentStep();
  appendFileSync(order.file, `${JSON.stringify({ runId, step, attempt, pid: process.pid })}\n`);
}

const Paid = defineEvent<{ amount: number }>('paid');
const SOON = { retries: 3, backoff: { initial: '20ms', jitter: false } } as const;

@Injectable()
class Steps {
  @Step() async one(n: number): Promise<number> {
    executed();
    return n + 1;
  }
  @Step() async two(n: number): Promise<number> {
    executed();
    return n + 1;
  }
  @Step() async left(n: number): Promise<number> {
    executed();
    return n + 10;
  }
  @Step() async right(n: number): Promise<number> {
    executed();
    return n + 100;
  }
  @Step(SOON) async flaky(n: number): Promise<number> {
    executed();
    if (currentStep().attempt === 1) throw new Error('fails at first');
    return n;
  }
  @Step() async last(n: number): Promise<number> {
    executed();
    return n;
  }
  @Step() async compensate(): Promise<void> {
    executed();
  }
  @Step() async prepare(): Promise<void> {
    executed();
  }
  @Step() async deadly(): Promise<void> {
    executed();
    if (order.deadly) process.kill(process.pid, 'SIGKILL');
  }
}

/** The same code under as many names as there are rows: a process that serves one name leaves the other runs alone. */
function all(name: string): Type<WorkflowHandler<any, any>> {
  @Workflow({ name })
  class Everything {
    constructor(readonly steps: Steps) {}

    async run(ctx: WorkflowContext<{ variant: Variant }>): Promise<number> {
      const { steps } = this;
      const { variant } = ctx.payload;
      if (variant === 'waits') {
        const paid = await ctx.waitForEvent('payment', Paid(ctx.runId));
        return steps.last(paid.data.amount);
      }
      if (variant === 'part') {
        // its parent is suspended by then
        await ctx.sleep('nap', '100ms');
        return steps.last(7);
      }
      if (variant === 'invokes')
        return steps.one(await ctx.invoke('part', Everything, { variant: 'part' as const }));
      if (variant === 'polls') {
        const times = { every: '20ms', timeout: '1h' } as const;
        const look = async (): Promise<number | undefined> => {
          executed();
          return currentStep().attempt < 4 ? undefined : 500;
        };
        const alone = await ctx.poll('alone', look, times);
        const [beside] = await Promise.all([ctx.poll('beside', look, times), steps.left(0)]);
        return steps.last(alone.value! + beside.value!);
      }
      const one = await steps.one(0);
      if (variant === 'continues') return ctx.continueAsNew({ variant: 'part' });
      const two = await steps.two(one);
      if (variant === 'undoes') {
        ctx.onRollback('one', () => executed());
        ctx.onRollback('two', () => executed());
        throw new NonRetryableError(`undone ${two}`);
      }
      const [left, right] = await Promise.all([steps.left(two), steps.right(two)]);
      const flaky = await steps.flaky(left + right);
      await ctx.sleep('nap', '30ms');
      const { data } = await ctx.waitForEvent('payment', Paid(ctx.runId));
      const last = await steps.last(flaky + data.amount);
      if (variant === 'fails') throw new NonRetryableError(`declined ${last}`);
      return last;
    }

    @OnFailure() async failed(_ctx: FailureContext<{ variant: Variant }>): Promise<void> {
      await this.steps.compensate();
    }
  }
  Reflect.defineMetadata('design:paramtypes', [Steps], Everything);
  return Everything;
}

/** A run whose step kills the process; with `progress`, another step is journaled between two losses. */
function deadly(name: string): Type<WorkflowHandler<any, any>> {
  @Workflow({ name })
  class Deadly {
    constructor(readonly steps: Steps) {}

    async run(_ctx: WorkflowContext<{ times: number }>): Promise<string> {
      if (_ctx.payload.times < 0) {
        _ctx.onRollback('first', () => executed());
        _ctx.onRollback('deadly', () => this.steps.deadly());
        throw new NonRetryableError('to be undone');
      }
      for (let i = 0; i < _ctx.payload.times; i++) {
        await this.steps.prepare();
        await this.steps.deadly();
      }
      return 'survived';
    }

    @OnFailure() async failed(_ctx: FailureContext<{ times: number }>): Promise<void> {
      await this.steps.compensate();
    }
  }
  Reflect.defineMetadata('design:paramtypes', [Steps], Deadly);
  return Deadly;
}

class Killer extends Probe {
  #left = order.kill?.nth ?? 0;

  at(point: ProbePoint, detail: { runId?: string; step?: string }): void {
    const { kill } = order;
    if (!kill || point !== kill.point || detail.runId !== kill.runId) return;
    if (kill.step !== undefined && detail.step !== kill.step) return;
    if (--this.#left === 0) process.kill(process.pid, 'SIGKILL');
  }
}

@Global()
@Module({ providers: [{ provide: Probe, useClass: Killer }], exports: [Probe] })
class ProbeModule {}

const { serve, make = 'all' } = order;
@Module({
  imports: [
    ProbeModule,
    WorkflowModule.forRoot({
      database: order.database,
      transport: order.transport,
      ...(order.http && { http: order.http }),
      worker: { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms' },
    }),
  ],
  providers: [Steps, ...serve.map(make === 'all' ? all : deadly)],
})
class AppModule {}

async function snapshot(source: DataSource): Promise<Snapshot> {
  const [runs, steps, tasks, messages] = (await Promise.all([
    source.query('select id, run_id, status from workflow_run order by id'),
    source.query('select execution, key, state, position, attempts from workflow_step'),
    source.query('select execution, step_key, lost from workflow_task'),
    source.query('select execution from workflow_message where execution is not null'),
  ])) as [Snapshot['runs'], Snapshot['steps'], Snapshot['tasks'], Snapshot['messages']];
  return { runs, steps, tasks, messages };
}

const app = await NestFactory.create(AppModule, { logger: order.verbose ? undefined : silentLogger });
const source = app.get<DataSource>(getDataSourceToken(WORKFLOW_DATA_SOURCE), { strict: false });
// nothing is claimed before the application listens
const before = await snapshot(source);
await app.listen(0, '127.0.0.1');
const client = app.get(WorkflowClient);
const scheduler = app.get(WorkflowScheduler);
while (!scheduler.running) await pause(2);
process.send!({ at: 'started', pid: process.pid, before } satisfies Started);

if (order.start) {
  const { workflow, runId, payload } = order.start;
  // kept, and before anybody waits for it
  await client.notify(Paid(runId), { amount: 1000 }, { keepFor: '10m' });
  await client.trigger(workflow, payload, { runId });
}

async function outcome(runId: string): Promise<Outcome> {
  try {
    return { runId, result: await client.run('any', runId).result({ timeout: '15s' }) };
  } catch (error) {
    if (error instanceof RunFailedError) return { runId, failed: error.failure.message };
    const journal = JSON.stringify(await client.journal(runId).catch(() => null));
    return { runId, stuck: `${(error as Error).message} ${journal}` };
  }
}

/** What is owed after an end is paid by another statement, soon. */
async function paid(): Promise<void> {
  const owed = `select 1 from workflow_run where unreported or uncascaded`;
  for (const until = Date.now() + 10_000; Date.now() < until && (await source.query(owed)).length > 0;)
    await pause(5);
}

if (order.finish) {
  const outcomes = await Promise.all(order.finish.map(outcome));
  await paid();
  const after = await snapshot(source);
  process.send!({ at: 'finished', outcomes, after }, () => void app.close().then(() => process.disconnect()));
}
