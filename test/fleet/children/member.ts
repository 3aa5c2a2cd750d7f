import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { Global, Module, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowModule, WorkflowScheduler } from '../../../lib/index.js';
import { Leases } from '../../../lib/runtime/leases.js';
import { RUNTIME_OVERRIDES } from '../../../lib/workflow.tokens.js';
import type { Order, Said, Started } from '../protocol.js';
import { Ledger, WORKFLOWS } from '../workflows.js';

// A process of the fleet, with the shutdown hooks that applications have: works until it is told to end, or is killed.
const order = JSON.parse(process.argv[2]!) as Order;

@Global()
@Module({
  providers: [{ provide: RUNTIME_OVERRIDES, useValue: order.overrides ?? {} }],
  exports: [RUNTIME_OVERRIDES],
})
class Overrides {}

@Module({
  imports: [
    Overrides,
    WorkflowModule.forRoot({
      database: { type: 'postgres', url: order.url, poolSize: 5 },
      transport: order.transport,
      ...(order.http && { http: order.http }),
      worker: order.worker,
    }),
  ],
  providers: WORKFLOWS,
})
class AppModule {}

const say = (line: unknown): void => void process.send?.({ at: 'said', line: String(line) } satisfies Said);
const logger: LoggerService = { log: () => undefined, warn: say, error: say };

const app = await NestFactory.create(AppModule, { logger });
app.enableShutdownHooks();
app.get(Ledger).file = order.file;
await app.listen(0, '127.0.0.1');
const scheduler = app.get(WorkflowScheduler);
// behind a URL of others it cannot know that it is led to, until it is: the test does that once it has started
while (order.worker && !order.http?.url && !scheduler.running) await pause(2);
const worker = app.get(Leases, { strict: false }).worker;
process.send!({ at: 'started', url: await app.getUrl(), worker } satisfies Started);
