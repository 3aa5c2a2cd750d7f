import { randomUUID } from 'node:crypto';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Workflow, WorkflowContext } from 'nestjs-workflow';
import { CONTENT_TYPE, createSigningKeys, MessageSigner, SIGNATURE_HEADER } from '../../lib/http/index.js';
import { encodeDelivery } from '../../lib/http/protocol.js';
import type { Delivery } from '../../lib/ports/index.js';
import { createPostgres, DATABASES, type TestDatabase } from '../support/databases.js';
import { dump, Gates, startApp, untilPaid, WORKFLOWS, type TestApp } from '../client/support.js';

const KEY = 'a-signing-key-for-tests-of-32-or-more-characters';
const STEPS = 8;
const signer = new MessageSigner(createSigningKeys({ signingKey: KEY }));

/** What was executed, in which instance. */
class Executed {
  readonly steps: string[] = [];
}

/** Eight steps, of which the sixth can be held. */
@Workflow({ name: 'sequence' })
class Sequence {
  constructor(
    readonly executed: Executed,
    readonly gates: Gates,
  ) {}
  async run(ctx: WorkflowContext<string>): Promise<number[]> {
    const values: number[] = [];
    for (let n = 1; n <= STEPS; n++) {
      values.push(
        await ctx.run(`s${n}`, async () => {
          this.executed.steps.push(`${ctx.runId} s${n}`);
          if (n === 6) await this.gates.pass(ctx.payload);
          return n * 10;
        }),
      );
    }
    return values;
  }
}

/** A step task that fails, to be tried again in an hour. */
@Workflow({ name: 'flaky-pair' })
class FlakyPair {
  async run(ctx: WorkflowContext): Promise<unknown> {
    const backoff = { initial: '1h', max: '1h' } as const;
    return Promise.all([
      ctx.run('flaky', () => Promise.reject(new Error('not yet')), { backoff }),
      ctx.sleep('nap', '1h'),
    ]);
  }
}

/** An endpoint that claims nothing: the test is the dispatcher. */
const start = (db: TestDatabase): Promise<TestApp> =>
  startApp(db, {
    listen: true,
    providers: [...WORKFLOWS, Sequence, FlakyPair, Executed],
    workflow: { worker: false, http: { signingKey: KEY } },
    // the dispatchers do not beat, and what they leave is not to be swept while another test looks at all rows
    runtime: { heartbeatMs: 60_000, leaseTimeoutMs: 200_000 },
  });

interface Answer {
  readonly status: number;
  readonly body: { readonly next?: string; readonly seq?: number; readonly code?: string };
}

/** Not by `fetch`, which sends a request that was answered with 421 a second time. */
async function post(to: TestApp, body: Buffer, signature: string | undefined): Promise<Answer> {
  const response = await request(`${await to.app.getUrl()}/workflow/deliver`, {
    method: 'POST',
    headers: {
      'content-type': CONTENT_TYPE,
      ...(signature !== undefined && { [SIGNATURE_HEADER]: signature }),
    },
    body,
  });
  return { status: response.statusCode, body: (await response.body.json()) as Answer['body'] };
}

/** A delivery, signed for itself: a copy made by a sender, not by the network. */
async function deliver(to: TestApp, delivery: Delivery): Promise<Answer> {
  const body = encodeDelivery(delivery);
  return post(to, body, signer.sign('delivery', body));
}

/** Claims the run, as a dispatcher of its own does, and gives its first delivery. */
async function claim({ store, client }: TestApp, workflow: string, runId: string): Promise<Delivery> {
  await client.trigger(workflow, runId, { runId });
  const dispatcher = randomUUID();
  // one that nobody knows would be swept by the endpoint
  await store.register(dispatcher, 'elsewhere', 1, []);
  const { tasks } = await store.claim(dispatcher, [workflow], 100, null);
  const task = tasks.find((one) => one.runId === runId)!;
  return { workflow, version: null, runId, taskId: task.taskId, fence: task.fence, seq: 0 };
}

/** Delivers until this many steps were executed; the next delivery. */
async function drive(to: TestApp, first: Delivery, steps: number): Promise<Delivery> {
  let next = first;
  while (next.seq < steps) {
    const { status, body } = await deliver(to, next);
    expect([status, body.next]).toEqual([200, 'continue']);
    next = { ...next, seq: body.seq! };
  }
  return next;
}

async function finish(to: TestApp, from: Delivery): Promise<void> {
  for (let next = from; ;) {
    const { body } = await deliver(to, next);
    if (body.next === 'finished') return;
    expect(body.next).toBe('continue');
    next = { ...next, seq: body.seq! };
  }
}

const statusesOf = (answers: readonly Answer[]): number[] =>
  answers.map(({ status }) => status).toSorted((x, y) => x - y);
const executedOf = (app: TestApp, runId: string): string[] =>
  app.app.get(Executed).steps.filter((step) => step.startsWith(`${runId} `));
const all = (runId: string): string[] => Array.from({ length: STEPS }, (_, n) => `${runId} s${n + 1}`);
const values = Array.from({ length: STEPS }, (_, n) => (n + 1) * 10);

describe.each(DATABASES)('a delivery on $name', ({ create }) => {
  let db: TestDatabase;
  let test: TestApp;
  beforeAll(async () => {
    db = await create();
    test = await start(db);
  });
  afterAll(async () => {
    await test?.close();
    await db?.dispose();
  });

  it('that comes twice at once is executed once: the other is stale', async () => {
    const first = await claim(test, 'gated', 'twice');
    const answers = Promise.all([deliver(test, first), deliver(test, first), deliver(test, first)]);
    await test.gates.enter('twice');
    test.gates.release('twice');
    const statuses = statusesOf(await answers);
    expect(statuses).toEqual([200, 409, 409]);
    expect((await answers).find(({ status }) => status === 409)!.body.code).toBe('WF_STALE_DELIVERY');
    const [entry] = await test.client.journal('twice');
    expect(entry).toMatchObject({ attempts: 1, state: 'journaled', result: 'passed twice' });
  });

  it('that the network has copied is refused: a signature is good for one use', async () => {
    const first = await claim(test, 'gated', 'copied');
    const body = encodeDelivery(first);
    const signature = signer.sign('delivery', body);
    const answers = Promise.all([post(test, body, signature), post(test, body, signature)]);
    await test.gates.enter('copied');
    test.gates.release('copied');
    expect(statusesOf(await answers)).toEqual([200, 401]);
  });

  it('5 that comes late, beside 6, executes nothing, and 6 does not notice', async () => {
    const { gates } = test;
    const fifth = await drive(test, await claim(test, 'sequence', 'late'), 4);
    const sixth = await drive(test, fifth, 5);
    const answer = deliver(test, sixth);
    await gates.enter('late');
    const before = await dump(test);
    expect((await deliver(test, fifth)).status).toBe(409);
    expect(await dump(test)).toEqual(before);
    expect(executedOf(test, 'late')).toEqual(all('late').slice(0, 6));
    gates.release('late');
    const { body } = await answer;
    expect(body).toMatchObject({ next: 'continue', seq: 6 });
    expect((await deliver(test, fifth)).status).toBe(409);
    expect((await deliver(test, sixth)).status).toBe(409);
    await finish(test, { ...sixth, seq: 6 });
    expect(executedOf(test, 'late')).toEqual(all('late'));
    expect(await test.client.run(Sequence, 'late').result()).toEqual(values);
  });

  it('that comes before its time executes nothing', async () => {
    const second = await drive(test, await claim(test, 'sequence', 'early'), 1);
    const before = await dump(test);
    for (const wrong of [
      { ...second, seq: 2 },
      { ...second, seq: 0 },
      { ...second, fence: second.fence + 1 },
      { ...second, fence: second.fence - 1 },
      { ...second, taskId: '999999999' },
    ])
      expect((await deliver(test, wrong)).status).toBe(409);
    expect(await dump(test)).toEqual(before);
    expect(executedOf(test, 'early')).toEqual(['early s1']);
    test.gates.release('early');
    await finish(test, second);
    expect(executedOf(test, 'early')).toEqual(all('early'));
  });

  it('of a lease that has moved on executes nothing, also in one batch with the present one', async () => {
    const { store, gates } = test;
    const first = await claim(test, 'gated', 'moved');
    await store.release([first], 0);
    const { tasks } = await store.claim(randomUUID(), ['gated'], 100, null);
    const present = { ...first, fence: tasks.find(({ runId }) => runId === 'moved')!.fence };
    const answers = Promise.all([deliver(test, first), deliver(test, present)]);
    await gates.enter('moved');
    gates.release('moved');
    expect((await answers).map(({ status }) => status)).toEqual([409, 200]);
    expect(await test.client.journal('moved')).toMatchObject([{ attempts: 1 }]);
  });

  it('of a run that was cancelled or has ended executes nothing', async () => {
    const [cancelled, done] = [
      await claim(test, 'sequence', 'cancelled'),
      await claim(test, 'sequence', 'done'),
    ];
    await test.client.cancel('cancelled');
    test.gates.release('done');
    await finish(test, done);
    await untilPaid(test);
    const before = await dump(test);
    expect((await deliver(test, cancelled)).status).toBe(409);
    expect((await deliver(test, { ...done, seq: STEPS })).status).toBe(409);
    expect(await dump(test)).toEqual(before);
    expect(executedOf(test, 'cancelled')).toEqual([]);
    expect(executedOf(test, 'done')).toEqual(all('done'));
  });

  const forgers: [
    string,
    number,
    (delivery: Delivery, body: Buffer) => Promise<[Buffer, string | undefined]>,
  ][] = [
    ['unsigned', 401, async (_delivery, body) => [body, undefined]],
    ['signed with nonsense', 401, async (_delivery, body) => [body, 'a.b.c']],
    [
      'signed with another key',
      401,
      async (_delivery, body) => {
        const other = new MessageSigner(createSigningKeys({ signingKey: KEY.toUpperCase() }));
        return [body, other.sign('delivery', body)];
      },
    ],
    [
      'altered on its way',
      401,
      async (delivery, body) => [
        encodeDelivery({ ...delivery, runId: 'somebody else' }),
        signer.sign('delivery', body),
      ],
    ],
    [
      'signed long ago',
      401,
      async (_delivery, body) => {
        const keys = createSigningKeys({ signingKey: KEY });
        const old = new MessageSigner(keys, { now: () => Date.now() - 120_000 });
        return [body, old.sign('delivery', body)];
      },
    ],
    ['signed as a ping', 400, async (_delivery, body) => [body, signer.sign('ping', body)]],
    [
      'garbage with a genuine signature',
      400,
      async () => {
        const garbage = Buffer.from('{"workflow":');
        return [garbage, signer.sign('delivery', garbage)];
      },
    ],
    [
      'of a workflow that is not served here',
      421,
      async (delivery) => {
        const body = encodeDelivery({ ...delivery, workflow: 'unknown' });
        return [body, signer.sign('delivery', body)];
      },
    ],
    [
      'of another version',
      421,
      async (delivery) => {
        const body = encodeDelivery({ ...delivery, version: '2' });
        return [body, signer.sign('delivery', body)];
      },
    ],
  ];
  it.each(forgers)(
    'that is %s is refused with %s: nothing executed, nothing written',
    async (what, status, forge) => {
      const id = `forged: ${what}`;
      const genuine = await claim(test, 'sequence', id);
      const before = await dump(test);
      const [body, signature] = await forge(genuine, encodeDelivery(genuine));
      const answer = await post(test, body, signature);
      expect(answer.status).toBe(status);
      expect(await dump(test)).toEqual(before);
      expect(executedOf(test, id)).toEqual([]);
      // the genuine one is still good
      expect((await deliver(test, genuine)).status).toBe(200);
    },
  );

  it('that was recorded and is played again is refused, however often', async () => {
    const first = await claim(test, 'sequence', 'replayed');
    const body = encodeDelivery(first);
    const signature = signer.sign('delivery', body);
    expect((await post(test, body, signature)).status).toBe(200);
    const before = await dump(test);
    for (let i = 0; i < 3; i++) expect((await post(test, body, signature)).status).toBe(401);
    expect(await dump(test)).toEqual(before);
    expect(executedOf(test, 'replayed')).toEqual(['replayed s1']);
  });
});

describe('deliveries on two instances', () => {
  let db: TestDatabase;
  let a: TestApp;
  let b: TestApp;
  beforeAll(async () => {
    db = await createPostgres();
    [a, b] = [await start(db), await start(db)];
  });
  afterAll(async () => {
    await a?.close();
    await b?.close();
    await db?.dispose();
  });

  it('6 on an instance whose cache ends at 4 goes on from what the other has journaled', async () => {
    for (const { gates } of [a, b]) gates.release('handed over');
    const fifth = await drive(b, await claim(a, 'sequence', 'handed over'), 4);
    const sixth = await drive(a, fifth, 5);
    const { body } = await deliver(b, sixth);
    expect(body).toMatchObject({ next: 'continue', seq: 6 });
    await finish(a, { ...sixth, seq: 6 });
    expect(executedOf(b, 'handed over')).toEqual(
      ['s1', 's2', 's3', 's4', 's6'].map((s) => `handed over ${s}`),
    );
    expect(executedOf(a, 'handed over')).toEqual(['s5', 's7', 's8'].map((s) => `handed over ${s}`));
    expect(await a.client.run(Sequence, 'handed over').result()).toEqual(values);
  });

  it('that change places with each one execute each step once', async () => {
    for (const { gates } of [a, b]) gates.release('to and fro');
    let next = await claim(a, 'sequence', 'to and fro');
    for (let i = 0; ; i++) {
      const { body } = await deliver(i % 2 ? a : b, next);
      if (body.next === 'finished') break;
      next = { ...next, seq: body.seq! };
    }
    expect([...executedOf(a, 'to and fro'), ...executedOf(b, 'to and fro')].toSorted()).toEqual(
      all('to and fro'),
    );
    expect(await b.client.run(Sequence, 'to and fro').result()).toEqual(values);
  });

  // the network copies nothing for two instances at once; whoever does it signs anew, and holds the key
  it('the same one on both at once: one of them journals its step, the other cannot write', async () => {
    const sixth = await drive(a, await claim(a, 'sequence', 'both'), 5);
    const answers = Promise.all([deliver(a, sixth), deliver(b, sixth)]);
    await Promise.all([a.gates.enter('both'), b.gates.enter('both')]);
    a.gates.release('both');
    b.gates.release('both');
    expect(statusesOf(await answers)).toEqual([200, 409]);
    const journal = await a.client.journal('both');
    expect(journal.map(({ key, attempts }) => `${key} ${attempts}`)).toEqual(
      Array.from({ length: 6 }, (_, n) => `s${n + 1} 1`),
    );
    await finish(a, { ...sixth, seq: 6 });
    expect(await a.client.run(Sequence, 'both').result()).toEqual(values);
  });

  it('a late copy of a failed attempt, on the other instance, does not execute the next one', async () => {
    const { store } = a;
    const advance = await claim(a, 'flaky-pair', 'retried');
    expect((await deliver(a, advance)).body.next).toBe('waiting');
    const { tasks } = await store.claim(randomUUID(), ['flaky-pair'], 10, null);
    const task = tasks.find(({ step }) => step === 'flaky')!;
    const { taskId, fence } = task;
    const step = { ...advance, taskId, fence, seq: 0, step: 'flaky' };
    expect((await deliver(a, step)).body.next).toBe('waiting');
    const before = await dump(a);
    // the retry is due in an hour; a copy that was held up somewhere arrives at the other instance
    expect((await deliver(b, step)).status).toBe(409);
    expect(await dump(a)).toEqual(before);
    const entry = (await a.client.journal('retried')).find(({ key }) => key === 'flaky');
    expect(entry).toMatchObject({ attempts: 1, state: 'pending' });
  });
});
