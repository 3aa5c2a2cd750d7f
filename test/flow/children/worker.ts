import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowModule } from '../../../lib/index.js';
import { silentLogger } from '../../support/silent-logger.js';
import { UnderFire } from '../workload.js';

// A worker process of the test under fire: works until it is killed.
const [url, transport] = process.argv.slice(2) as [string, 'http' | 'in-process'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: { type: 'postgres', url, poolSize: 5 },
      transport,
      worker: { concurrency: 40, heartbeat: '200ms', leaseTimeout: '2s', pollInterval: '200ms' },
    }),
  ],
  providers: [UnderFire],
})
class App {}

const app = await NestFactory.create(App, { logger: silentLogger });
await app.listen(0, '127.0.0.1');
process.send!({ ready: true });
