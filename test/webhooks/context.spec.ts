import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Webhook, WorkflowContext } from 'nestjs-workflow';
import { WebhookEndpoint } from '../../lib/http/index.js';
import { callEndpoint } from '../../lib/testing/webhook-call.js';
import { Bench, Guarded, MODES, ON_DISK, type BenchOptions } from '../replay/support.js';
import { PUBLIC_URL, SIGNING_KEY } from './support.js';

const PUBLIC: BenchOptions = { module: { http: { publicUrl: PUBLIC_URL, signingKey: SIGNING_KEY } } };
const call = async (bench: Bench, { url }: Webhook, body?: unknown): Promise<number> =>
  (await callEndpoint(bench.app.get(WebhookEndpoint), url, { body })).status;

describe.each(MODES)('webhooks in the code of a run, $name', (mode) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start(mode, PUBLIC);
  });
  afterAll(() => bench?.dispose());

  it('have one URL each, which every replay gives again', async () => {
    const seen = new Set<string>();
    const run = await bench.start(async (ctx) => {
      const first = await ctx.createWebhook('hook');
      const second = await ctx.createWebhook('hook');
      seen.add(JSON.stringify([first, second]));
      await ctx.sleep('nap', '1ms');
      const third = await ctx.createWebhook('other');
      await ctx.run('step', () => 1);
      return [first, second, third];
    });
    const hooks = (await run.result()) as Webhook[];
    expect(seen.size).toBe(1);
    expect(new Set(hooks.map(({ id }) => id)).size).toBe(3);
    for (const { url, id } of hooks) expect(url).toBe(`${PUBLIC_URL}/workflow/hooks/${id}`);
    expect((await run.journal()).map(({ key }) => key)).toEqual(['hook', 'hook#2', 'nap', 'other', 'step']);
  });

  it('side by side are given their own calls', async () => {
    let hooks: Webhook[] = [];
    const run = await bench.start(async (ctx) => {
      hooks = await Promise.all(['a', 'b', 'c'].map((name) => ctx.createWebhook(name)));
      const calls = await Promise.all(hooks.map((hook, i) => ctx.waitForWebhook(`call ${i}`, hook)));
      return calls.map(({ data }) => data.body);
    });
    await run.waitsFor('call 0', 'call 1', 'call 2');
    for (const i of [2, 0, 1]) expect(await call(bench, hooks[i]!, { n: i })).toBe(202);
    expect(await run.result()).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
  });

  it('work beside a step, an event and a timeout', async () => {
    let hook: Webhook | undefined;
    const run = await bench.start(async (ctx) => {
      hook = await ctx.createWebhook('hook');
      return Promise.all([
        ctx.waitForWebhook('call', hook, { timeout: '1h' }),
        ctx.run('step', () => 'stepped'),
        ctx.waitForWebhook('none', await ctx.createWebhook('silent'), { timeout: '1m' }),
      ]);
    });
    await run.waitsFor('call', 'none');
    await run.has('step');
    expect(await call(bench, hook!)).toBe(202);
    await run.has('call');
    bench.move(60_000);
    expect(await run.result()).toMatchObject([
      { timedOut: false, data: { method: 'POST', body: undefined } },
      'stepped',
      { timedOut: true, data: undefined },
    ]);
  });

  it('can be made where a run has failed', async () => {
    let hook: Webhook | undefined;
    let told: unknown;
    const run = await bench.start(() => Promise.reject(new Error('failed')), {
      workflow: Guarded,
      onFailure: async (ctx) => {
        hook = await ctx.createWebhook('retry?');
        told = (await ctx.waitForWebhook('answer', hook)).data.body;
      },
    });
    await run.waitsFor('onFailure/answer');
    expect(await call(bench, hook!, 'yes')).toBe(202);
    await run.failure();
    expect(told).toEqual(Uint8Array.from(Buffer.from('yes')));
  });

  const misused: [string, (ctx: WorkflowContext<any>) => Promise<unknown>, string][] = [
    ['no method', (ctx) => ctx.createWebhook('x', { methods: [] }), '`methods`'],
    [
      'HEAD',
      (ctx) => ctx.createWebhook('x', { methods: ['HEAD' as 'GET'] }),
      'GET, POST, PUT, PATCH, DELETE',
    ],
    ['a text for a list', (ctx) => ctx.createWebhook('x', { methods: 'POST' as never }), '`methods`'],
    ['lower case', (ctx) => ctx.createWebhook('x', { methods: ['post' as 'POST'] }), '`methods`'],
    ['no name', (ctx) => ctx.createWebhook(''), 'ctx.createWebhook'],
    ['no webhook', (ctx) => ctx.waitForWebhook('x', undefined as never), 'what ctx.createWebhook gave'],
    ['a URL', (ctx) => ctx.waitForWebhook('x', 'https://x' as never), 'what ctx.createWebhook gave'],
    [
      'an id of its own',
      (ctx) => ctx.waitForWebhook('x', { id: 'a', url: '' }),
      'what ctx.createWebhook gave',
    ],
    ['a step around it', (ctx) => ctx.run('step', () => ctx.createWebhook('x')), 'inside the step "step"'],
    [
      'a step around the wait',
      async (ctx) => {
        const hook = await ctx.createWebhook('x');
        return ctx.run('step', () => ctx.waitForWebhook('y', hook));
      },
      'inside the step "step"',
    ],
  ];
  it.each(misused)('refuse %s', async (_, misuse, said) => {
    const run = await bench.start((ctx) => misuse(ctx));
    expect((await run.failure()).message).toContain(said);
  });
});

describe('without a public URL', () => {
  let bench: Bench | undefined;
  afterEach(() => bench?.dispose());

  it('what the code was told stays, also when another process knows one', async () => {
    bench = await Bench.start(ON_DISK);
    const run = await bench.start(async (ctx) => {
      const hook = await ctx
        .createWebhook('hook')
        .catch((error: { failure: { code: string } }) => error.failure.code);
      await ctx.waitForEvent('go', `go ${ctx.runId}`);
      return hook;
    });
    await run.waitsFor('go');
    await bench.stop();
    const { loadDataDir: _, ...database } = bench.database;
    bench = await Bench.start(ON_DISK, { ...PUBLIC, database });
    await bench.client.notify(`go ${run.runId}`, null);
    expect(await bench.client.run('scripted', run.runId).result({ timeout: '20s' })).toBe('WF_NO_PUBLIC_URL');
  });
});
