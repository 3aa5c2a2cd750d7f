import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { workloadOf, type Library } from './workload.js';

// An application on the release before: `previous <its index.js> <database url>`.
const [main, url] = process.argv.slice(2) as [string, string];
const library = (await import(/* @vite-ignore */ main)) as Library;
const { WorkflowClient, WorkflowModule } = library;

export interface Ask {
  readonly trigger: string;
  readonly runIds: readonly string[];
}

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: { url },
      worker: { heartbeat: '200ms', leaseTimeout: '4s', pollInterval: '100ms' },
    }),
  ],
  providers: workloadOf(library, 'previous', (executed) => process.send!({ executed })),
})
class App {}

const app = await NestFactory.create(App, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const client = app.get(WorkflowClient);
process.on('message', ({ trigger, runIds }: Ask) => {
  void Promise.all(runIds.map((runId) => client.trigger(trigger, {}, { runId }))).then(() =>
    process.send!({ triggered: runIds.length }),
  );
});
// whoever started this is gone
process.on('disconnect', () => process.exit(1));
process.on('SIGTERM', () => void app.close().then(() => process.exit(0)));
process.send!({ ready: true });
