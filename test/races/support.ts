import 'reflect-metadata';
import { Global, Module, type INestApplication, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { currentStep, WorkflowModule, WorkflowScheduler, type WorkflowModuleOptions } from 'nestjs-workflow';
import { HeartbeatThread } from '../../lib/ports/heartbeat-thread.js';
import { Probe, type ProbePoint } from '../../lib/ports/probe.js';
import type { RuntimeConfig } from '../../lib/runtime/config.js';
import { Leases } from '../../lib/runtime/leases.js';
import { Database } from '../../lib/typeorm/database.js';
import { EMBEDDED_DUMP } from '../../lib/workflow.persistence.js';
import { RUNTIME_OVERRIDES } from '../../lib/workflow.tokens.js';
import type { TestDatabase } from '../support/databases.js';
import { silentLogger } from '../support/silent-logger.js';

/** Short, so that what takes a beat or a lease timeout takes no longer than a test. */
export const QUICK = { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms' } as const;

export interface BootOptions extends Omit<WorkflowModuleOptions, 'database'> {
  readonly providers: readonly Provider[];
  readonly probe?: Probe;
  /** settings that have no option, and those of `worker` where `worker: false` leaves none to be given */
  readonly overrides?: Partial<RuntimeConfig>;
}

/** An application as a user has it, with a probe. */
export async function boot(database: TestDatabase, options: BootOptions): Promise<Instance> {
  const { providers, probe = new Gates(), overrides = {}, ...rest } = options;

  @Global()
  @Module({
    providers: [
      { provide: Probe, useValue: probe },
      { provide: RUNTIME_OVERRIDES, useValue: overrides },
      // embedded PGlite starts from it in half a second instead of several
      { provide: EMBEDDED_DUMP, useValue: database.loadDataDir },
    ],
    exports: [Probe, RUNTIME_OVERRIDES, EMBEDDED_DUMP],
  })
  class ProbeModule {}

  @Module({
    imports: [
      ProbeModule,
      WorkflowModule.forRoot({ worker: { ...QUICK }, ...rest, database: database.options }),
    ],
    providers: [...providers],
  })
  class AppModule {}

  const app = await NestFactory.create(AppModule, { logger: silentLogger });
  await app.listen(0, '127.0.0.1');
  const instance = new Instance(app);
  if (rest.worker !== false) await until(() => app.get(WorkflowScheduler).running);
  return instance;
}

export class Instance {
  readonly leases: Leases;
  readonly database: Database;

  constructor(readonly app: INestApplication) {
    this.leases = app.get(Leases, { strict: false });
    this.database = app.get(Database, { strict: false });
  }

  get<T>(token: new (...args: any[]) => T): T {
    return this.app.get(token, { strict: false });
  }

  get url(): Promise<string> {
    return this.app.getUrl();
  }

  /** Rows of a statement on this instance's own pool. */
  rows<R>(text: string): Promise<R[]> {
    return this.database.source.query(text);
  }

  /** Its heart stands still, as that of a process that is swapped out, all its threads: no beat and no sweep until the function is called. */
  stopHeart(): () => void {
    let revive!: () => void;
    const revived = new Promise<void>((resolve) => (revive = resolve));
    const { leases } = this;
    void this.app.get(HeartbeatThread, { strict: false }).stop();
    const beat = leases.beat.bind(leases);
    leases.beat = async () => {
      await revived;
      return beat();
    };
    return () => {
      delete (leases as Partial<Leases>).beat;
      revive();
    };
  }

  /**
   * From the next statement on that `wanted` accepts, so many of them are committed and their replies lost, as when the
   * connection breaks on the way back.
   */
  loseReplies(
    wanted: (name: string, values: readonly unknown[], rows: readonly unknown[]) => boolean,
    times = 1,
  ): LostReplies {
    const { database } = this;
    const lost: LostReplies = { count: 0, stop: () => restore.forEach((one) => one()) };
    const restore = (['query', 'queryReserved'] as const).map((way) => {
      const send: Database['query'] = database[way].bind(database);
      database[way] = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
        const rows = await send<R>(name, text, values);
        if (lost.count >= times || !wanted(name, values, rows)) return rows;
        lost.count++;
        throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
      };
      return () => void (database[way] = send);
    });
    return lost;
  }
}

export interface LostReplies {
  count: number;
  stop(): void;
}

type Detail = Parameters<Probe['at']>[1];

/** Holds the process at a point of a run until it is let go. */
export class Gates extends Probe {
  readonly #gates: {
    readonly point: ProbePoint;
    readonly accept: (detail: Detail) => boolean;
    readonly reached: () => void;
    readonly opened: Promise<void>;
  }[] = [];
  readonly seen: { readonly point: ProbePoint; readonly detail: Detail }[] = [];

  async at(point: ProbePoint, detail: Detail): Promise<void> {
    this.seen.push({ point, detail });
    const index = this.#gates.findIndex((gate) => gate.point === point && gate.accept(detail));
    if (index < 0) return;
    const [gate] = this.#gates.splice(index, 1);
    gate!.reached();
    await gate!.opened;
  }

  /** The next time the point is reached the process waits there: `reached` tells, `open` lets it go. */
  hold(point: ProbePoint, accept: (detail: Detail) => boolean = () => true): Gate {
    let reach!: () => void;
    let open!: () => void;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.#gates.push({ point, accept, reached: reach, opened });
    return { reached, open };
  }
}

export interface Gate {
  readonly reached: Promise<void>;
  readonly open: () => void;
}

/** Resolves when the condition holds; rejects, saying what it waited for, when it never does. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => unknown) = 'a condition',
  limitMs = 15_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) {
      const said = typeof what === 'string' ? what : JSON.stringify(await what());
      throw new Error(`This never came: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What steps have executed, in order, as `run/step`. */
export class Executions {
  readonly all: string[] = [];

  add(): void {
    const { runId, step } = currentStep();
    this.all.push(`${runId}/${step}`);
  }

  of(runId: string): string[] {
    return this.all.filter((one) => one.startsWith(`${runId}/`)).map((one) => one.slice(runId.length + 1));
  }

  /** Steps that were executed more than once. */
  get repeated(): string[] {
    return [...new Set(this.all.filter((one, i) => this.all.indexOf(one) !== i))];
  }
}
