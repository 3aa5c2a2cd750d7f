import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, type Run } from 'nestjs-workflow';
import { AUDIT_URL, AuditLog, insisting } from './audit.js';
import type { Place } from './fleet.js';
import { runIdOf, triggerOptionsOf, type Job } from './jobs.js';
import { chaosModule } from './module.js';
import { mix } from './random.js';
import { Child, Told, Work, WORKFLOWS } from './workload.js';

/** How often a run that waits for events is told: twice are needed, and the others come too late or too early. */
const TELLINGS = 4;

/** Triggers and tells, from outside of the fleet and through it, until it is accepted. */
export class Driver {
  readonly accepted = new Map<string, Job>();
  readonly #underWay = new Set<Promise<void>>();
  /** what was refused in a way that no outage explains */
  readonly refusals: string[] = [];

  private constructor(
    private readonly app: INestApplicationContext,
    private readonly client: WorkflowClient,
    private readonly places: readonly Place[],
  ) {}

  static async start(url: string, places: readonly Place[]): Promise<Driver> {
    @Module({
      imports: [chaosModule(url, 'driver', { transport: 'in-process', worker: false })],
      providers: [{ provide: AUDIT_URL, useValue: url }, AuditLog, Work, Child, ...Object.values(WORKFLOWS)],
    })
    class App {}
    const app = await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false });
    return new Driver(app, app.get(WorkflowClient), places);
  }

  /** Goes on in the background. */
  submit(job: Job): void {
    const work = this.#submit(job).catch(
      (error: unknown) => void this.refusals.push(`${runIdOf(job)}: ${String(error)}`),
    );
    const done = work.finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Its end, read by the public API. */
  read(runId: string): Promise<Run> {
    return insisting(() => this.client.get(runId), 10_000);
  }

  async stop(): Promise<void> {
    await this.app.close();
  }

  async #submit(job: Job): Promise<void> {
    // some are triggered twice at a time, by different ways
    if (job.n % 10 === 0) await Promise.all([this.#trigger(job, 0), this.#trigger(job, 1)]);
    else await this.#trigger(job, job.n);
    this.accepted.set(runIdOf(job), job);
    if (job.kind !== 'events') return;
    for (let i = 0; i < TELLINGS; i++) {
      await insisting(() => this.client.notify(Told(`${job.n}`), mix(job.n, 90), { runId: runIdOf(job) }));
      await pause(mix(job.n, i) % 1500);
    }
  }

  /** Two of three go through a process of the fleet, which may take the new run at once; it may die before it has said so. */
  async #trigger(job: Job, way: number): Promise<void> {
    await insisting(async () => {
      const serving = this.places.filter(({ serves }) => serves);
      const place = way % 3 === 0 ? undefined : serving[way % serving.length];
      if (!place) await this.client.trigger(WORKFLOWS[job.kind], job, triggerOptionsOf(job));
      else await place.trigger(job);
    });
  }
}
