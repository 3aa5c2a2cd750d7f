import 'reflect-metadata';
import { ConsoleLogger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient } from 'nestjs-workflow';
import { AUDIT_URL, AuditLog } from './audit.js';
import { triggerOptionsOf, type Job } from './jobs.js';
import { chaosModule } from './module.js';
import { NOT_BOOTED, type WorkerSettings } from './settings.js';
import { Child, Work, WORKFLOWS } from './workload.js';

// One process of the fleet: works until it is killed, and triggers what it is told to.
const { url, transport, name } = JSON.parse(process.argv[2]!) as WorkerSettings;

@Module({
  imports: [chaosModule(url, name, { transport })],
  providers: [{ provide: AUDIT_URL, useValue: url }, AuditLog, Work, Child, ...Object.values(WORKFLOWS)],
})
class App {}

const logger = new ConsoleLogger({ colors: false, logLevels: ['error', 'warn'] });
const app = await NestFactory.create(App, { logger, abortOnError: false }).catch(notBooted);
await app.listen(0, '127.0.0.1').catch(notBooted);
const client = app.get(WorkflowClient);

process.on('message', (job: Job) => {
  client
    .trigger(WORKFLOWS[job.kind], job, triggerOptionsOf(job))
    .then(() => process.send!({ accepted: job.n }))
    .catch((error: unknown) => process.send!({ refused: job.n, why: String(error) }));
});
// whoever started this is gone
process.on('disconnect', () => process.exit(1));
process.send!({ ready: true });

function notBooted(error: unknown): never {
  console.error('not booted:', error);
  process.exit(NOT_BOOTED);
}
