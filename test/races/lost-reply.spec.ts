import { Injectable } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  currentStep,
  defineEvent,
  NonRetryableError,
  OnFailure,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type FailureContext,
} from 'nestjs-workflow';
import { decodeArray, isCommit, nextsOf } from '../support/binary-array.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, Executions, type Instance, until } from './support.js';

const Paid = defineEvent<{ amount: number }>('paid');
const Never = defineEvent<unknown>('never');

@Injectable()
class Steps {
  readonly executions = new Executions();

  @Step() async one(): Promise<number> {
    this.executions.add();
    return 1;
  }
  @Step() async two(): Promise<number> {
    this.executions.add();
    return 2;
  }
  @Step() async left(): Promise<number> {
    this.executions.add();
    return 10;
  }
  @Step({ retries: 1, backoff: { initial: '10ms', jitter: false } }) async right(): Promise<number> {
    if (currentStep().attempt === 1) throw new Error('once');
    this.executions.add();
    return 100;
  }
  @Step({ retries: 1, backoff: { initial: '10ms', jitter: false } }) async flaky(): Promise<number> {
    if (currentStep().attempt === 1) throw new Error('once');
    this.executions.add();
    return 1000;
  }
  @Step() async compensate(): Promise<void> {
    this.executions.add();
  }
}

interface Payload {
  readonly fails?: boolean;
  readonly cancels?: boolean;
}

/** Every kind of flush there is. The second wait would see an event that came twice. */
@Workflow({ name: 'everything' })
class Everything {
  constructor(readonly steps: Steps) {}

  async run(ctx: WorkflowContext<Payload>) {
    const { steps } = this;
    const sum = (await steps.one()) + (await steps.two());
    const [left, right] = await Promise.all([steps.left(), steps.right()]);
    const flaky = await steps.flaky();
    await ctx.sleep('nap', '10ms');
    const paid = await ctx.waitForEvent('payment', Paid(ctx.runId));
    const [again, shared] = await Promise.all([
      ctx.waitForEvent('again', Paid(ctx.runId), { timeout: '60ms' }),
      ctx.waitForEvent('shared', `shared ${ctx.runId}`),
    ]);
    if (ctx.payload.fails) throw new NonRetryableError('declined');
    if (ctx.payload.cancels) await ctx.cancel();
    return {
      sum: sum + left + right + flaky,
      paid: paid.data.amount,
      again: again.timedOut,
      shared: shared.data,
    };
  }

  @OnFailure() async failed(_ctx: FailureContext<Payload>): Promise<void> {
    await this.steps.compensate();
  }
}
const RESULT = { sum: 1113, paid: 7, again: true, shared: 'kept' };
const STEPS = ['one', 'two', 'left', 'right', 'flaky'].map((name) => `Steps.${name}`);

@Workflow({ name: 'waiting' })
class Waiting {
  async run(ctx: WorkflowContext<void>): Promise<string> {
    const { timedOut } = await ctx.waitForEvent('w', Never(ctx.runId), { timeout: '1h' });
    return timedOut ? 'timed out' : 'told';
  }
}

/** Polls on its own and beside something else, five looks each, one of them a failure. */
@Workflow({ name: 'polling' })
class Polling {
  readonly looks: string[] = [];

  async run(ctx: WorkflowContext<void>): Promise<unknown> {
    const look = async (): Promise<number | undefined> => {
      const { step, attempt } = currentStep();
      this.looks.push(`${ctx.runId} ${step} ${attempt}`);
      if (attempt === 2) throw new Error('once');
      return attempt < 5 ? undefined : attempt;
    };
    const times = { every: '10ms', timeout: '1h', retryDelay: '5ms' } as const;
    const alone = await ctx.poll('alone', look, times);
    const [beside] = await Promise.all([ctx.poll('beside', look, times), ctx.sleep('nap', '1ms')]);
    return [alone.value, beside.value];
  }
}

const commitTo =
  (next: string) =>
  (name: string, values: readonly unknown[]): boolean =>
    isCommit(name) && nextsOf(values).includes(next);
const named =
  (wanted: string) =>
  (name: string): boolean =>
    name === wanted;
const retried = (name: string, values: readonly unknown[]): boolean =>
  name === 'workflow_answer' && decodeArray(values[9]).some((retryMs) => retryMs !== null);
const answered = (name: string, values: readonly unknown[]): boolean =>
  name === 'workflow_answer' && decodeArray(values[9]).includes(null);

/** Each statement of a run whose reply may be lost. */
const REPLIES = {
  'a trigger that leases the run': named('workflow_trigger_lean'),
  'a claim': (name: string) => name === 'workflow_claim',
  'a load': named('workflow_load'),
  'a flush that goes on': commitTo('continue'),
  'a flush that suspends': commitTo('suspend'),
  'a flush that waits for an event': commitTo('listen'),
  'the look for kept events': named('workflow_collect_kept'),
  "a step's answer": answered,
  "a step's failed attempt": retried,
  'an event for one run': named('workflow_notify_run'),
  'an event that is kept': named('workflow_keep_event'),
  'an event for all that wait': named('workflow_notify_waiters'),
  'the end': commitTo('completed'),
  'a beat': named('workflow_beat'),
};

describe.each(DATABASES)(
  'a reply that is lost although the statement was committed, on $name',
  (databases) => {
    let database: TestDatabase;
    beforeAll(async () => {
      database = await databases.create();
    });
    afterAll(() => database.dispose());

    describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
      let app: Instance;
      let client: WorkflowClient;
      let steps: Steps;
      let count = 0;
      let runId: string;
      beforeAll(async () => {
        // in-process parallel steps would leave no statement of their own to lose (see side-steps.spec)
        const overrides = { sideSteps: false };
        app = await boot(database, {
          transport,
          providers: [Steps, Everything, Waiting, Polling],
          overrides,
        });
        client = app.get(WorkflowClient);
        steps = app.get(Steps);
      });
      afterAll(() => app?.app.close());
      beforeEach(() => {
        runId = `${transport} ${++count}`;
      });

      const tell = async (): Promise<void> => {
        await client.notify(Paid(runId), { amount: 7 }, { runId });
        await client.notify(`shared ${runId}`, 'kept', { keepFor: '1h' });
      };
      /** One header, nothing to do any more, each fact once. */
      const expectOneEnd = async (status: string): Promise<void> => {
        const runs = await app.rows<{ id: string; status: string }>(
          `select id, status from workflow_run where run_id = '${runId}'`,
        );
        expect(runs).toEqual([{ id: expect.any(String), status }]);
        for (const table of ['workflow_task', 'workflow_message']) {
          expect(await app.rows(`select * from ${table} where execution = ${runs[0]!.id}`)).toEqual([]);
        }
        const positions = (await client.journal(runId)).map(({ position }) => position);
        expect(positions).toEqual(positions.map((_, i) => i + 1));
      };

      it.each(Object.keys(REPLIES) as (keyof typeof REPLIES)[])(
        'of %s costs nothing: the run ends right, each step executed once',
        async (reply) => {
          const lost = app.loseReplies(REPLIES[reply]);
          const run = await client.trigger(Everything, {}, { runId });
          expect(run.created).toBe(true);
          // a quick run may be over before the next beat
          if (reply === 'a beat') await until(() => lost.count === 1, 'a beat');
          await tell();
          expect(await run.result({ timeout: '15s' })).toEqual(RESULT);
          expect(lost.count).toBe(1);
          lost.stop();
          expect(steps.executions.of(runId).toSorted()).toEqual(STEPS.toSorted());
          await expectOneEnd('completed');
        },
      );

      it.each([
        ['a flush that goes on', 1],
        ['a flush that suspends', 4],
        ['a claim', 3],
        ["a step's failed attempt", 4],
        ["a step's answer", 1],
      ] as const)(
        'of %s of a poll, %s times: each look is taken once, and counted once',
        async (reply, times) => {
          const lost = app.loseReplies(REPLIES[reply], times);
          const run = await client.trigger(Polling, undefined, { runId });
          expect(await run.result({ timeout: '15s' })).toEqual([5, 5]);
          expect(lost.count).toBe(times);
          lost.stop();
          const looks = app.get(Polling).looks.filter((one) => one.startsWith(`${runId} `));
          const expected = ['alone', 'beside'].flatMap((step) =>
            [1, 2, 3, 4, 5].map((n) => `${runId} ${step} ${n}`),
          );
          expect(looks).toEqual(expected);
          await expectOneEnd('completed');
        },
      );

      it('of a trigger that leaves the run to a claim: created all the same, and one run', async () => {
        const lost = app.loseReplies(named('workflow_trigger_lean'));
        const run = await client.trigger(Everything, {}, { runId, delay: '20ms' });
        lost.stop();
        expect([lost.count, run.created]).toEqual([1, true]);
        await tell();
        expect(await run.result({ timeout: '15s' })).toEqual(RESULT);
        expect(steps.executions.of(runId).toSorted()).toEqual(STEPS.toSorted());
        await expectOneEnd('completed');
        // somebody else's trigger of the same run did not create it
        expect((await client.trigger(Everything, {}, { runId })).created).toBe(false);
      });

      it('of many triggers in one statement: each is created, once', async () => {
        const lost = app.loseReplies((name) => name.startsWith('workflow_trigger'));
        const items = [1, 2, 3].map((n) => ({ payload: {}, runId: `${runId}/${n}` }));
        const runs = await client.triggerMany(Everything, items);
        lost.stop();
        expect(lost.count).toBe(1);
        expect(runs.map(({ created }) => created)).toEqual([true, true, true]);
        await client.cancel(items.map((item) => item.runId));
      });

      it('of the end as failed: @OnFailure has been called once', async () => {
        const lost = app.loseReplies(commitTo('failed'));
        const run = await client.trigger(Everything, { fails: true }, { runId });
        await tell();
        await expect(run.result({ timeout: '15s' })).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
        lost.stop();
        expect(lost.count).toBe(1);
        const compensated = steps.executions.of(runId).filter((step) => step.startsWith('onFailure/'));
        expect(compensated).toEqual(['onFailure/Steps.compensate']);
        await expectOneEnd('failed');
      });

      it('of the end as cancelled by the code', async () => {
        const lost = app.loseReplies(commitTo('cancelled'));
        const run = await client.trigger(Everything, { cancels: true }, { runId });
        await tell();
        await expect(run.result({ timeout: '15s' })).rejects.toMatchObject({ code: 'WF_RUN_CANCELLED' });
        lost.stop();
        expect(lost.count).toBe(1);
        await expectOneEnd('cancelled');
      });

      it('of an event that wakes a run which takes it and ends before the event is sent again', async () => {
        const run = await client.trigger(Waiting, undefined, { runId });
        await client.notify(Never(`other ${runId}`), 1); // nobody waits for that one
        const lost = app.loseReplies(named('workflow_notify_run'));
        const sent = client.notify(Never(runId), 1, { runId });
        expect(await run.result({ timeout: '15s' })).toBe('told');
        await sent;
        lost.stop();
        expect(lost.count).toBe(1);
        // sent again at the very end of the run, it goes with the pass after that (late-events.spec.ts)
        const inbox = () =>
          app.rows(
            `select 1 from workflow_message m join workflow_run r on r.id = m.execution where r.run_id = '${runId}'`,
          );
        await until(async () => (await inbox()).length === 0, inbox);
        await expectOneEnd('completed');
      });

      it('of a claim: its leases come back within two beats', async () => {
        // the first claim that finds it leases it; those before it found nothing and lost nothing
        const lost = app.loseReplies(
          (name, _, rows) =>
            name === 'workflow_claim' && rows.some((row) => (row as { task_id: unknown }).task_id !== null),
        );
        // as they are sent: a beat that was on its way when the claim was lost knows nothing of it
        const names: string[] = [];
        app.database.onQuery = (name) => lost.count > 0 && names.push(name);
        try {
          const run = await client.trigger(Everything, {}, { runId, delay: '30ms' });
          await until(() => lost.count === 1, 'the claim');
          await tell();
          expect(await run.result({ timeout: '15s' })).toEqual(RESULT);
        } finally {
          app.database.onQuery = undefined;
          lost.stop();
        }
        const released = names.indexOf('workflow_release');
        expect(released).toBeGreaterThan(0);
        expect(
          names.slice(0, released).filter((name) => name === 'workflow_beat').length,
        ).toBeLessThanOrEqual(2);
        expect(steps.executions.of(runId).toSorted()).toEqual(STEPS.toSorted());
      });
    });
  },
);
