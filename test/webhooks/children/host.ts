import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule, type WorkflowDatabase } from '../../../lib/index.js';
import { silentLogger } from '../../support/silent-logger.js';
import { Collects, PUBLIC_URL, SIGNING_KEY, urlOf } from '../support.js';

// An application with a run that has a webhook and sleeps; tells where it is called, and is killed.
const [database] = process.argv.slice(2).map((text) => JSON.parse(text) as WorkflowDatabase);

@Module({
  imports: [
    WorkflowModule.forRoot({
      database: database!,
      transport: 'in-process',
      http: { publicUrl: PUBLIC_URL, signingKey: SIGNING_KEY },
    }),
  ],
  providers: [Collects],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: silentLogger });
await app.listen(0, '127.0.0.1');
const run = await app.get(WorkflowClient).trigger(Collects, { calls: 3, later: true }, { runId: 'killed' });
process.send!((await app.getUrl()) + (await urlOf(run)).slice(PUBLIC_URL.length));
