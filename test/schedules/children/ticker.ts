import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Schedule, Workflow, WorkflowContext, WorkflowModule } from '../../../lib/index.js';
import { RunStore } from '../../../lib/ports/index.js';
import { silentLogger } from '../../support/silent-logger.js';

// A process with a schedule. With "hang" it stops for ever in the transaction that starts a run, once it is the one that does.
const [url, hang] = process.argv.slice(2) as [string, string?];

@Schedule({ name: 'tick', every: '1s', catchUp: 'all', payload: ({ scheduledAt }) => scheduledAt })
@Workflow({ name: 'ticks' })
class Ticks {
  async run(ctx: WorkflowContext<Date>): Promise<string> {
    return ctx.run('tick', () => {
      process.send!({ executed: ctx.runId });
      return ctx.payload.toISOString();
    });
  }
}

@Module({
  imports: [WorkflowModule.forRoot({ database: { url }, transport: 'in-process' })],
  providers: [Ticks],
})
class Application {}

const app = await NestFactory.createApplicationContext(Application, { logger: silentLogger });
if (hang === 'hang') {
  const store = app.get(RunStore, { strict: false });
  const trigger = store.trigger.bind(store);
  store.trigger = async (rows, manager) => {
    const triggered = await trigger(rows, manager);
    if (!manager) return triggered;
    process.send!({ inside: rows[0]!.runId });
    return new Promise(() => {});
  };
}
process.send!({ up: process.pid });
process.on('message', () => void app.close().then(() => process.exit(0)));
