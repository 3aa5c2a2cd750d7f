import 'reflect-metadata';
import { Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  RunFailedError,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowModule,
} from '../../../lib/index.js';
import { Probe, type ProbePoint } from '../../../lib/ports/probe.js';
import { silentLogger } from '../../support/silent-logger.js';
import type { CallerOrder } from '../calls.spec.js';

// A process that serves one workflow with one external call. It may die at a point of it, or be killed from outside.
const order = JSON.parse(process.argv[2]!) as CallerOrder;

@Workflow({ name: 'caller' })
class Caller {
  async run(ctx: WorkflowContext<{ url: string }>): Promise<unknown> {
    const { url } = ctx.payload;
    const { status, body } = await ctx.call('charge', {
      url,
      method: 'POST',
      body: 'charge',
      timeout: '12h',
    });
    return { status, body };
  }
}

class Killer extends Probe {
  at(point: ProbePoint, { step }: { step?: string }): void {
    if (point === order.kill && step === 'charge') process.kill(process.pid, 'SIGKILL');
  }
}

@Global()
@Module({ providers: [{ provide: Probe, useClass: Killer }], exports: [Probe] })
class ProbeModule {}

@Module({
  imports: [
    ProbeModule,
    WorkflowModule.forRoot({
      database: order.database,
      transport: order.transport,
      http: { calls: { allow: ['127.0.0.1'] } },
      worker: { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms' },
    }),
  ],
  providers: [Caller],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: silentLogger });
await app.listen(0, '127.0.0.1');
const client = app.get(WorkflowClient);
const run = await client.trigger(Caller, { url: order.url }, { runId: 'r' });
try {
  process.send!({ result: await run.result({ timeout: '1m' }) });
} catch (error) {
  process.send!({ failed: error instanceof RunFailedError ? error.failure.message : String(error) });
}
await app.close();
process.disconnect();
