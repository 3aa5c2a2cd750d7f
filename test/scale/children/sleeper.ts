import 'reflect-metadata';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../lib/index.js';
import { Database } from '../../../lib/typeorm/database.js';

/** What a process says when it is asked. */
export interface State {
  readonly heap: number;
  /** statements since it was asked last, by name */
  readonly statements: Readonly<Record<string, number>>;
  /** executions of the step of each run that has woken up */
  readonly woken: number;
  readonly twice: number;
}

const woken = new Map<string, number>();

@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(ctx: WorkflowContext<number>): Promise<number> {
    await ctx.sleep('night', '30d');
    return ctx.run('wake', () => {
      woken.set(ctx.runId, (woken.get(ctx.runId) ?? 0) + 1);
      return ctx.payload;
    });
  }
}

const [url] = process.argv.slice(2);

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: { url: url! },
      transport: 'in-process',
      worker: { pollInterval: '100ms' },
    }),
  ],
  providers: [Sleeper],
})
class App {}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
let statements: Record<string, number> = {};
app.get(Database).onQuery = (name) => (statements[name] = (statements[name] ?? 0) + 1);

process.on('message', () => {
  collect();
  collect();
  const { heapUsed } = process.memoryUsage();
  const twice = [...woken.values()].filter((times) => times > 1).length;
  process.send!({ heap: heapUsed, statements, woken: woken.size, twice } satisfies State);
  statements = {};
});
// the one that all others are copies of
await app.get(WorkflowClient).trigger(Sleeper, 7, { runId: 'first' });
process.on('disconnect', () => process.exit(0));
process.send!('ready');
