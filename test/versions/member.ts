import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Workflow, WorkflowClient, WorkflowContext, WorkflowModule } from '../../lib/index.js';

// A process that serves version 1 until it is killed, and triggers what it is told to: `member <database url>`.
const [url] = process.argv.slice(2) as [string];

@Workflow({ name: 'long', version: '1' })
class Long {
  async run(ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.run('first', () => '1');
    await ctx.waitForEvent('go', `go ${ctx.runId}`);
    return [first, ...(await Promise.all([ctx.run('left', () => '1'), ctx.run('right', () => '1')]))];
  }
}

const worker = { heartbeat: '200ms', leaseTimeout: '4s', pollInterval: '100ms' } as const;
@Module({ imports: [WorkflowModule.forRoot({ database: { url }, worker })], providers: [Long] })
class App {}

const app = await NestFactory.create(App, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
process.on('message', (runIds: string[]) => {
  const items = runIds.map((runId) => ({ runId, payload: {} }));
  void app
    .get(WorkflowClient)
    .triggerMany('long', items)
    .then(() => process.send!('triggered'));
});
// whoever started this is gone
process.on('disconnect', () => process.exit(1));
process.send!('ready');
