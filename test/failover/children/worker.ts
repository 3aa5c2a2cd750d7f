import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowModule } from '../../../lib/index.js';
import { silentLogger } from '../../support/silent-logger.js';
import { Chain, Links, TELL, type Tell } from '../workload.js';

// A worker of the failover tests: it is never restarted, and says what it executes.
const [url, transport] = process.argv.slice(2) as [string, 'http' | 'in-process'];
const tell: Tell = (executed) => void process.send!({ executed });

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: { type: 'postgres', url, poolSize: 5 },
      transport,
      worker: { concurrency: 40, heartbeat: '500ms', leaseTimeout: '5s', pollInterval: '200ms' },
    }),
  ],
  providers: [{ provide: TELL, useValue: tell }, Links, Chain],
})
class App {}

const app = await NestFactory.create(App, { logger: silentLogger });
await app.listen(0, '127.0.0.1');
process.send!({ ready: true });
