import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  currentStep,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowScheduler,
} from 'nestjs-workflow';
import { RunStore, type TriggerRow } from '../../lib/ports/index.js';
import type { Order, Started } from '../crash/protocol.js';
import type { Database } from '../../lib/typeorm/database.js';
import { bundle, Child } from '../support/child.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { boot, Executions, Gates, type BootOptions, type Instance, until } from './support.js';

/** What the steps of one instance have executed, and where a step waits for the test. */
@Injectable()
class Place {
  name = '';
  readonly executions = new Executions();
  readonly aborted: string[] = [];
  /** what `long` waits for; an execution takes the first of them */
  readonly holds: Promise<void>[] = [];
}

@Injectable()
class Steps {
  constructor(readonly place: Place) {}

  @Step() async first(): Promise<string> {
    return this.#here();
  }
  @Step() async second(): Promise<string> {
    return this.#here();
  }
  @Step() async left(): Promise<string> {
    return this.#here();
  }
  @Step() async right(): Promise<string> {
    return this.#here();
  }
  @Step() async long(): Promise<string> {
    const { runId, signal } = currentStep();
    signal.addEventListener('abort', () => this.place.aborted.push(runId));
    const here = this.#here();
    await this.place.holds.shift();
    return here;
  }

  #here(): string {
    this.place.executions.add();
    return `${this.place.name} ${this.place.executions.all.length}`;
  }
}

/** Where nobody is to be presumed dead, however busy the machine is. */
const PATIENT = { heartbeat: '100ms', leaseTimeout: '60s', pollInterval: '100ms' } as const;

type Kind = 'one' | 'two' | 'parallel' | 'sleeps' | 'long';

@Workflow({ name: 'tier' })
class Tier {
  constructor(readonly steps: Steps) {}

  async run(ctx: WorkflowContext<{ kind: Kind }>): Promise<string[]> {
    const { steps } = this;
    switch (ctx.payload.kind) {
      case 'one':
        return [await steps.first()];
      case 'two':
        return [await steps.first(), await steps.second()];
      case 'parallel':
        return Promise.all([steps.left(), steps.right()]);
      case 'sleeps': {
        const first = await steps.first();
        await ctx.sleep('nap', '1ms');
        return [first];
      }
      default:
        return [await steps.long(), await steps.second()];
    }
  }
}

// several processes boot in one test, on a machine that may be busy
vi.setConfig({ testTimeout: 90_000 });

let database: TestDatabase;
const open: Instance[] = [];
/** what a test that fails leaves held, and its instances could not close with */
const held: (() => void)[] = [];
beforeEach(async () => {
  database = await createPostgres();
});
afterEach(async () => {
  for (const letGo of held.splice(0)) letGo();
  await Promise.all(open.splice(0).map((instance) => instance.app.close()));
  await database.dispose();
});

async function start(name: string, options: Partial<BootOptions> = {}): Promise<Instance> {
  const instance = await boot(database, {
    transport: 'in-process',
    providers: [Place, Steps, Tier],
    ...options,
  });
  instance.get(Place).name = name;
  open.push(instance);
  return instance;
}

/** A promise, and how it is fulfilled. */
function hold(): { readonly until: Promise<void>; readonly letGo: () => void } {
  let letGo!: () => void;
  const fulfilled = new Promise<void>((resolve) => (letGo = resolve));
  held.push(letGo);
  return { until: fulfilled, letGo };
}

/** Replies to this statement do not arrive before `letGo`, as in a process that stands still; the first ones do. */
function holdReplies(
  { database: of }: Instance,
  wanted: string,
  but = 0,
): { count: number; letGo: () => void } {
  const { until: released, letGo } = hold();
  const replies = { count: -but, letGo };
  const send: Database['query'] = of.query.bind(of);
  of.query = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
    const rows = await send<R>(name, text, values);
    // a claim that brings nothing is none
    const brings =
      name !== 'workflow_claim' || rows.some((row) => (row as { task_id: unknown }).task_id !== null);
    if (name === wanted && brings && ++replies.count > 0) await released;
    return rows;
  };
  return replies;
}

/** All that the tables hold of the runs. */
const everything = (instance: Instance): Promise<unknown[]> =>
  Promise.all(
    ['workflow_run', 'workflow_step', 'workflow_task', 'workflow_message'].map((table) =>
      instance.rows(`select * from ${table} order by 1, 2, 3`),
    ),
  );
const workers = async (instance: Instance): Promise<string[]> =>
  (await instance.rows<{ id: string }>('select id from workflow_worker')).map(({ id }) => id);
const owners = async (instance: Instance): Promise<(string | null)[]> =>
  (await instance.rows<{ lease_owner: string | null }>('select lease_owner from workflow_task')).map(
    ({ lease_owner }) => lease_owner,
  );

describe('a claim', () => {
  it('gives each task to one of those who ask at the same time', async () => {
    const { app } = await start('A');
    const store = app.get(RunStore, { strict: false });
    const row = (n: number): TriggerRow => ({
      triggerId: randomUUID(),
      runId: `r${n}`,
      workflow: 'nobody serves it',
      version: null,
      payload: '1',
      labels: [],
      due: { inMs: 0 },
      deadlineInMs: null,
      owner: null,
      parent: null,
    });
    await store.trigger(Array.from({ length: 100 }, (_, n) => row(n)));
    const claimers = Array.from({ length: 4 }, () => randomUUID());
    await Promise.all(claimers.map((worker) => store.register(worker, 'here', 1, [])));
    const claimed: string[] = [];
    await Promise.all(
      claimers.map(async (worker) => {
        for (let got = 1; got > 0;) {
          const { tasks } = await store.claim(worker, ['nobody serves it'], 3, null);
          claimed.push(...tasks.map(({ runId }) => runId));
          got = tasks.length;
        }
      }),
    );
    expect(claimed).toHaveLength(100);
    expect(new Set(claimed).size).toBe(100);
  });

  it('lets two processes share the runs, each step executed once', async () => {
    const worker = { ...PATIENT, concurrency: 5, pollInterval: '20ms' } as const;
    const [a, b] = [await start('A', { worker }), await start('B', { worker })];
    const client = await start('C', { worker: false });
    const items = Array.from({ length: 60 }, (_, n) => ({
      runId: `r${n}`,
      payload: { kind: 'two' as const },
    }));
    const runs = await client.get(WorkflowClient).triggerMany(Tier, items);
    await Promise.all(runs.map((run) => run.result({ timeout: '15s' })));
    const executed = [a, b].map((instance) => instance.get(Place).executions.all);
    expect(executed.every((all) => all.length > 0)).toBe(true);
    expect(new Set(executed.flat()).size).toBe(executed.flat().length);
    expect(executed.flat()).toHaveLength(120);
  });
});

/**
 * Where an owner stands still with something to write, and where the one that has taken over holds the lease meanwhile: a
 * late write finds the same task, under another fence.
 */
const FLUSHES = [
  { flush: 'a flush that ends the run', kind: 'one', at: 'flush-sent', taken: 'loaded' },
  { flush: 'the flush of a step', kind: 'two', at: 'flush-sent', taken: 'loaded' },
  { flush: 'a flush that suspends the run', kind: 'sleeps', at: 'flush-sent', taken: 'loaded' },
  { flush: 'the flush of steps beside each other', kind: 'parallel', at: 'flush-sent', taken: 'loaded' },
  { flush: "a parallel step's answer", kind: 'parallel', at: 'answer-sent', taken: 'step-executed' },
] as const;
/** Parallel steps that are tasks of their own, in-process too. */
const TASKS = { overrides: { sideSteps: false } } as const;

describe('an owner that stands still and is presumed dead', () => {
  const hops = (['in-process', 'http'] as const)
    .flatMap((transport) => FLUSHES.map((flush) => ({ transport, ...flush })))
    // over HTTP they never are beside each other
    .filter(
      ({ transport, kind, at }) => transport === 'in-process' || kind !== 'parallel' || at === 'answer-sent',
    );
  it.each(hops)(
    'over $transport wakes up in the middle of $flush, and changes nothing',
    async ({ transport, kind, at, taken }) => {
      const tasks = at === 'answer-sent';
      const options = tasks ? TASKS : {};
      const left = ({ step }: { step?: string }): boolean => !tasks || step === 'Steps.left';
      const [gatesOfA, gatesOfB] = [new Gates(), new Gates()];
      const a = await start('A', { transport, probe: gatesOfA, ...options });
      const late = gatesOfA.hold(at, left);
      const { runId } = await a.get(WorkflowClient).trigger(Tier, { kind });
      await late.reached;
      const revive = a.stopHeart();
      held.push(revive, late.open);
      a.get(WorkflowScheduler).stop(); // it claims nothing; what is under way goes on

      const present = gatesOfB.hold(taken, left);
      held.push(present.open);
      const b = await start('B', { transport, probe: gatesOfB, ...options });
      await present.reached;
      if (tasks) {
        // the other branch goes on: its answer is journaled, and the run waits for this one
        const right = `select 1 from workflow_step where key = 'Steps.right' and state = 'journaled'`;
        await until(async () => (await b.rows(right)).length === 1, 'the other branch');
        await until(async () => (await owners(b)).includes(null), 'the suspension');
      }
      const before = await everything(b);

      // not its driver: over HTTP the endpoint has adopted the task, and its driver has gone home
      const replies = (): number => gatesOfA.seen.filter(({ point }) => point === 'reply-sent').length;
      const earlier = replies();
      late.open();
      await until(() => replies() > earlier, 'the reply of the late one');
      expect(await everything(b)).toEqual(before);

      present.open();
      const result = await b.get(WorkflowClient).run(Tier, runId).result({ timeout: '15s' });
      expect(result.some((value) => value.startsWith('B'))).toBe(true);
      // the late one went no further on its own
      expect(a.get(Place).executions.of(runId)).not.toContain('Steps.second');
      revive();
    },
  );

  it('starts over: what it executed is aborted and given to others, and it works again', async () => {
    const a = await start('A');
    const step = hold();
    a.get(Place).holds.push(step.until);
    const { runId } = await a.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(() => a.get(Place).executions.all.length === 1);
    const revive = a.stopHeart();
    held.push(revive);

    const b = await start('B');
    const result = await b.get(WorkflowClient).run(Tier, runId).result({ timeout: '15s' });
    expect(result).toEqual(['B 1', 'B 2']);
    expect(await workers(b)).toEqual([b.leases.worker]);

    revive();
    await until(async () => (await workers(b)).includes(a.leases.worker));
    expect(a.get(Place).aborted).toEqual([runId]);
    step.letGo();
    await b.app.close();
    open.splice(open.indexOf(b), 1);
    const again = await a.get(WorkflowClient).trigger(Tier, { kind: 'one' });
    expect(await again.result({ timeout: '15s' })).toEqual(['A 2']);
  });

  it.each([
    ['the journal, for a step task', 'parallel', 'http', 'workflow_load', 0],
    ['the journal, for a step task', 'parallel', 'in-process', 'workflow_load', 0],
    ['that its run is inserted', 'two', 'in-process', 'workflow_trigger_lean', 0],
    ['that its run is inserted', 'two', 'http', 'workflow_trigger_lean', 0],
    ['that its run is due', 'two', 'in-process', 'workflow_claim', 0],
    ['that its run is due', 'two', 'http', 'workflow_claim', 0],
    ['that a step is journaled', 'two', 'in-process', 'workflow_commit_steps', 0],
    ['that a step is journaled', 'two', 'http', 'workflow_commit_lean', 0],
  ] as const)(
    'starts no step that others have executed, after it has stood still just when it read %s (%s, %s)',
    async (_, kind, transport, statement, but) => {
      for (const wakes of ['by that', 'by its beat'] as const) {
        const gates = new Gates();
        const options = kind === 'parallel' ? TASKS : {};
        const a = await start('A', { transport, probe: gates, ...options });
        const seen = (wanted: string): number => gates.seen.filter(({ point }) => point === wanted).length;
        // the claim of its start may be on its way, and would bring the run with a reply that nobody holds
        await a.get(WorkflowScheduler).quiet();
        const replies = holdReplies(a, statement, but);
        const runId = randomUUID();
        const delay = statement === 'workflow_claim' ? '1ms' : '0s';
        const triggered = a.get(WorkflowClient).trigger(Tier, { kind }, { runId, delay });
        await until(() => replies.count > 0);
        const before = a.get(Place).executions.of(runId);
        const revive = a.stopHeart();
        held.push(revive);
        const b = await start('B', { transport, ...options });
        await b.get(WorkflowClient).run(Tier, runId).result({ timeout: '15s' });
        if (wakes === 'by its beat') {
          revive();
          await until(async () => (await workers(b)).includes(a.leases.worker));
        }
        replies.letGo();
        await triggered;
        await until(
          () => seen('reply-sent') === seen('delivery-received') && a.get(WorkflowScheduler).active === 0,
        );
        expect(a.get(Place).executions.of(runId)).toEqual(before);
        revive();
        await Promise.all(open.splice(0).map((instance) => instance.app.close()));
      }
    },
  );

  it('sweeps nobody before it has beaten well for one lease timeout', async () => {
    const a = await start('A');
    // a worker that is dead without doubt, and holds a task
    const store = a.app.get(RunStore, { strict: false });
    const dead = randomUUID();
    const sent: { readonly name: string; readonly at: number }[] = [];
    const revive = a.stopHeart();
    const stopped = performance.now();
    await until(() => a.leases.inDoubt && performance.now() - stopped > 700);
    await store.register(dead, 'elsewhere', 1, []);
    await a.rows(`update workflow_worker set beat_at = now() - interval '1 hour' where id = '${dead}'`);

    a.database.onQuery = (name) => sent.push({ name, at: performance.now() });
    revive();
    await until(async () => !(await workers(a)).includes(dead));
    const beat = sent.find(({ name }) => name === 'workflow_beat')!;
    const sweep = sent.find(({ name }) => name === 'workflow_sweep')!;
    expect(sweep.at - beat.at).toBeGreaterThanOrEqual(590);
  });
});

describe('a graceful shutdown', () => {
  it.each(['in-process', 'http'] as const)('gives the leases back at once, %s', async (transport) => {
    // nobody would be presumed dead for a minute: only what is given back can be claimed
    const a = await start('A', { transport, worker: { ...PATIENT, shutdownGrace: '50ms' } });
    const step = hold();
    a.get(Place).holds.push(step.until);
    const { runId } = await a.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(() => a.get(Place).executions.all.length === 1);
    const b = await start('B', { transport, worker: PATIENT });
    expect(await owners(b)).toEqual([a.leases.worker]);

    await a.app.close();
    open.splice(open.indexOf(a), 1);
    expect(a.get(Place).aborted).toEqual([runId]);
    expect(await owners(b)).not.toContain(a.leases.worker);
    expect(await workers(b)).toEqual([b.leases.worker]);
    const result = await b.get(WorkflowClient).run(Tier, runId).result({ timeout: '15s' });
    expect(result).toEqual(['B 1', 'B 2']);
    step.letGo();
  });

  it('lets a step that is under way end within the grace time, and keeps its result', async () => {
    const a = await start('A', { worker: PATIENT });
    const step = hold();
    a.get(Place).holds.push(step.until);
    const { runId } = await a.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(() => a.get(Place).executions.all.length === 1);
    const closed = a.app.close();
    open.splice(open.indexOf(a), 1);
    step.letGo();
    await closed;
    expect(a.get(Place).aborted).toEqual([]);
    const b = await start('B');
    const [long] = await b.get(WorkflowClient).run(Tier, runId).result({ timeout: '15s' });
    expect(long).toBe('A 1');
  });
});

describe('a tier that drives and a tier that executes', () => {
  const signingKey = 'a key that both tiers know, of forty characters';
  const tier = { heartbeatMs: 100, leaseTimeoutMs: 600, pollMs: 100 };
  let program: Awaited<ReturnType<typeof bundle>>;
  let folder: string;
  const drivers: Child[] = [];
  beforeAll(async () => {
    program = await bundle('test/crash/children/worker.ts');
    folder = mkdtempSync(join(tmpdir(), 'workflow-tier-'));
  });
  afterAll(() => {
    program?.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    await Promise.all(drivers.splice(0).map((child) => child.kill()));
  });

  const endpoint = (overrides: BootOptions['overrides'] = tier): Promise<Instance> =>
    start('B', { transport: 'http', worker: false, http: { signingKey }, overrides });

  /** A process that claims and delivers to the endpoint, and can be killed. */
  async function driver(url: string): Promise<Child> {
    const child = Child.start(program.file, [
      JSON.stringify({
        database: database.options,
        transport: 'http',
        http: { url, signingKey },
        make: 'deadly',
        serve: ['tier'],
        file: join(folder, 'executions'),
      } satisfies Order),
    ]);
    drivers.push(child);
    await child.message<Started>(({ at }) => at === 'started');
    return child;
  }

  it('executes every step where there is no worker', async () => {
    const b = await endpoint({ heartbeatMs: 100, leaseTimeoutMs: 60_000 });
    const http = { url: await b.url, signingKey };
    const a = await start('A', { transport: 'http', http, worker: PATIENT });
    const runs = await Promise.all(
      [a, b].flatMap((instance) =>
        (['one', 'two', 'parallel', 'sleeps', 'long'] as const).map((kind) =>
          instance.get(WorkflowClient).trigger(Tier, { kind }),
        ),
      ),
    );
    const results = await Promise.all(runs.map((run) => run.result({ timeout: '15s' })));
    expect(results.flat().every((value) => value.startsWith('B'))).toBe(true);
    expect(a.get(Place).executions.all).toEqual([]);
    expect(b.get(Place).executions.repeated).toEqual([]);
    expect(b.get(WorkflowScheduler).running).toBe(false);
  });

  it('adopts a step that is longer than a heartbeat: its driver dies, and it is not executed twice', async () => {
    const b = await endpoint();
    const step = hold();
    b.get(Place).holds.push(step.until);
    const first = await driver(await b.url);
    const run = await b.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(async () => (await owners(b)).includes(b.leases.worker), 'the adoption');
    await first.kill();
    await driver(await b.url);
    // only the endpoint and the second driver are left
    await until(
      async () => (await workers(b)).length === 2,
      () => workers(b),
    );
    expect(await owners(b)).toEqual([b.leases.worker]);
    step.letGo();
    expect(await run.result({ timeout: '15s' })).toEqual(['B 1', 'B 2']);
    expect(b.get(Place).executions.of(run.runId)).toEqual(['Steps.long', 'Steps.second']);
    expect(b.get(Place).aborted).toEqual([]);
  });

  it('keeps the result of a step whose driver has died in the middle of the delivery', async () => {
    const b = await endpoint({ heartbeatMs: 60_000, leaseTimeoutMs: 200_000 }); // too slow to adopt
    const step = hold();
    b.get(Place).holds.push(step.until);
    const first = await driver(await b.url);
    const run = await b.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(() => b.get(Place).executions.all.length === 1);
    await first.kill();
    step.letGo();
    await until(
      async () => (await b.rows(`select 1 from workflow_step where state = 'journaled'`)).length === 1,
    );
    await driver(await b.url);
    expect(await run.result({ timeout: '15s' })).toEqual(['B 1', 'B 2']);
    expect(b.get(Place).executions.of(run.runId)).toEqual(['Steps.long', 'Steps.second']);
  });

  it('takes the result of the second delivery when the first one ends after its lease has gone to another driver', async () => {
    const b = await endpoint({ heartbeatMs: 60_000, leaseTimeoutMs: 200_000 });
    const step = hold();
    b.get(Place).holds.push(step.until);
    const first = await driver(await b.url);
    const run = await b.get(WorkflowClient).trigger(Tier, { kind: 'long' });
    await until(() => b.get(Place).executions.all.length === 1);
    await first.kill();
    await driver(await b.url);
    expect(await run.result({ timeout: '15s' })).toEqual(['B 2', 'B 3']);
    const before = await everything(b);
    step.letGo();
    await b.app.close(); // waits for what is under way
    open.splice(open.indexOf(b), 1);
    const c = await start('C', { worker: false });
    expect(await everything(c)).toEqual(before);
  });
});
