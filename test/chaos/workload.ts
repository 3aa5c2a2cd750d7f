import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, type Type } from '@nestjs/common';
import {
  ChildFailedError,
  currentStep,
  defineEvent,
  NonRetryableError,
  OnFailure,
  Step,
  Workflow,
  type FailureContext,
  type WorkflowContext,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { AuditLog } from './audit.js';
import {
  CHAIN,
  childrenOf,
  failuresOf,
  NO_ANSWER,
  ROUNDS,
  undoMessage,
  type Job,
  type Kind,
} from './jobs.js';
import { mix } from './random.js';

/** The one event that the driver sends; sent often, and taken by whoever waits. */
export const Told = defineEvent<number>('told');
const Never = defineEvent<number>('never');

const STEPS = { retries: 5, backoff: { initial: '100ms', factor: 2, max: '1s' } } as const;

/** Every execution of it is in the audit before it does anything. */
@Injectable()
export class Work {
  constructor(private readonly audit: AuditLog) {}

  @Step({ ...STEPS, key: (_n: number, i: number) => `${i}` })
  async part(n: number, i: number): Promise<number> {
    return this.plain(n, i);
  }

  /** The same, for callbacks of `ctx.run` and of compensations. */
  async plain(n: number, i: number): Promise<number> {
    await this.audit.executed(currentStep());
    await pause(mix(n, i) % 40);
    if (currentStep().attempt <= failuresOf(n, i)) throw new Error(`part ${i} of ${n} is not ready`);
    return mix(n, i);
  }
}

/** Steps alone, beside each other, and one after another; a nap between. */
@Workflow({ name: 'chaos-steps' })
export class Steps {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<number> {
    const { n } = ctx.payload;
    const first = await this.work.part(n, 0);
    const beside = await Promise.all([1, 2, 3].map((i) => this.work.part(n, i)));
    await ctx.sleep('nap', `${100 + (n % 9) * 100}ms`);
    let total = await ctx.run(
      'sum',
      async (step) => {
        await this.work.plain(n, 4);
        return step.attempt > 0 ? 2 * beside.reduce((a, b) => a + b, first) : NaN;
      },
      STEPS,
    );
    for (let i = 0; i < CHAIN; i++) total += await this.work.part(n, 10 + i);
    return total;
  }
}

/** Waits that end by an event, beside a step and alone, and one that ends by time. */
@Workflow({ name: 'chaos-events' })
export class Events {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<number> {
    const { n } = ctx.payload;
    const [told, one] = await Promise.all([ctx.waitForEvent('told', Told(`${n}`)), this.work.part(n, 1)]);
    const never = await ctx.waitForEvent('never', Never(`${n}`), { timeout: `${100 + (n % 5) * 100}ms` });
    const two = await this.work.part(n, 2);
    const again = await ctx.waitForEvent('told again', Told(`${n}`));
    const fromMany = await ctx.run('mark', () => this.work.plain(n, 91), STEPS);
    return told.data + again.data + one + two + fromMany + (never.timedOut ? 1 : 0);
  }
}

/** External calls to a server that often does not answer, or badly. */
@Workflow({ name: 'chaos-calls' })
export class Calls {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<number> {
    const { n } = ctx.payload;
    const first = await this.ask(ctx, 70);
    const rest = await Promise.all([this.ask(ctx, 71), this.ask(ctx, 72), this.work.part(n, 1)]);
    return rest.reduce((a, b) => a + b, first);
  }

  private async ask(ctx: WorkflowContext<Job>, i: number): Promise<number> {
    const { n, url } = ctx.payload;
    const { body } = await ctx.call<{ value: number }>(`ask ${i}`, {
      url: `${url}/${n}/${i}`,
      method: 'POST',
      body: { n, i },
      timeout: '1s',
      retries: 20,
      backoff: { initial: '50ms', factor: 2, max: '500ms' },
      throwOnError: true,
    });
    return body.value;
  }
}

@Workflow({ name: 'chaos-child' })
export class Child {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<{ n: number; fails: boolean }>): Promise<number> {
    const { n, fails } = ctx.payload;
    const one = await this.work.part(n, 1);
    if (fails) throw new NonRetryableError(`child ${n} gives up`);
    await ctx.sleep('nap', `${50 + (n % 4) * 100}ms`);
    return one + (await this.work.part(n, 2));
  }
}

/** Children beside each other, of which one may fail, and one after them. */
@Workflow({ name: 'chaos-family' })
export class Family {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<number> {
    const { n } = ctx.payload;
    const { count, firstFails } = childrenOf(n);
    const child = (i: number, fails: boolean): Promise<number> =>
      ctx.invoke(`child ${i}`, Child, { n: n * 10 + i, fails });
    const all = Array.from({ length: count }, async (_, i) => {
      try {
        return await child(i, i === 0 && firstFails);
      } catch (error) {
        if (!(error instanceof ChildFailedError)) throw error;
        return NO_ANSWER;
      }
    });
    const results = await Promise.all(all);
    const own = await this.work.part(n, 1);
    const last = await child(9, false);
    return results.reduce((a, b) => a + b, own + last);
  }
}

/** Fails in the end, and undoes what it did. */
@Workflow({ name: 'chaos-undo' })
export class Undo {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job>): Promise<number> {
    const { n } = ctx.payload;
    for (const i of [0, 1]) {
      ctx.onRollback(`undo ${i}`, async () => void (await this.work.plain(n, 40 + i)), STEPS);
      await this.work.part(n, i);
    }
    await ctx.sleep('nap', `${50 + (n % 5) * 100}ms`);
    throw new NonRetryableError(undoMessage(n));
  }

  @OnFailure()
  async onFailure(ctx: FailureContext<Job>): Promise<void> {
    await ctx.run('told', () => this.work.plain(ctx.payload.n, 50), STEPS);
  }
}

/** Goes on as new twice. */
@Workflow({ name: 'chaos-loop' })
export class Loop {
  constructor(private readonly work: Work) {}

  async run(ctx: WorkflowContext<Job & { round?: number; total?: number }>): Promise<number> {
    const { round = 0, total = 0, ...job } = ctx.payload;
    const one = await this.work.part(job.n, 20 + round);
    const two = await this.work.part(job.n, 30 + round);
    const now = total + one + two;
    if (round + 1 === ROUNDS) return now;
    return ctx.continueAsNew({ ...job, round: round + 1, total: now });
  }
}

export const WORKFLOWS: Readonly<Record<Kind, Type<WorkflowHandler<Job, number>>>> = {
  steps: Steps,
  events: Events,
  calls: Calls,
  family: Family,
  undo: Undo,
  loop: Loop,
};
