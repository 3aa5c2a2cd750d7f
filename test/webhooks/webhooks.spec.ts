import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunHandle, WebhookCall } from 'nestjs-workflow';
import { dump, statementsOf, untilStatus, type TestApp } from '../client/support.js';
import { send } from '../http/webhook-support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import {
  callHook,
  Collects,
  HasNoUrl,
  localUrl,
  PUBLIC_URL,
  signatureOf,
  startWebhookApp,
  urlOf,
  Verifies,
  type Plan,
} from './support.js';

const json = { 'content-type': 'application/json' };
type Collected = (WebhookCall | 'timed out')[];
const bodiesOf = (calls: Collected): unknown[] =>
  calls.map((call) => (call === 'timed out' ? call : call.body));

describe.each(DATABASES)('webhooks on $name', ({ create }) => {
  describe.each(['in-process', 'http'] as const)('with steps over %s', (transport) => {
    let database: TestDatabase;
    let app: TestApp;
    beforeAll(async () => {
      database = await create();
      app = await startWebhookApp(database, transport);
    });
    afterAll(async () => {
      await app?.close();
      await database?.dispose();
    });

    const start = (plan: Plan, workflow = Collects): Promise<RunHandle<Plan, Collected>> =>
      app.client.trigger(workflow, plan);
    const waiting = (run: RunHandle<any, any>): Promise<void> =>
      untilStatus(app.client, run.runId, 'waiting');
    const go = (run: RunHandle<any, any>): Promise<unknown> => run.notify(`go ${run.runId}`, null);
    const rows = async (): Promise<Set<string>> => new Set(Object.values(await dump(app)).flat());
    /** What `work` writes into our tables: nothing. */
    async function writesNothing<T>(work: () => Promise<T>): Promise<T> {
      // what an earlier test has cancelled is paid first
      const owed = (): Promise<unknown[]> =>
        app.database.source.query('select id from workflow_run where unreported or uncascaded');
      await expect.poll(owed, { timeout: 10_000 }).toEqual([]);
      const before = await rows();
      const result = await work();
      const after = await rows();
      // the rows that differ, not all of them
      expect([...after].filter((row) => !before.has(row))).toEqual([]);
      expect([...before].filter((row) => !after.has(row))).toEqual([]);
      return result;
    }

    it('give each call to the run as it came', async () => {
      const run = await start({ calls: 2 });
      const url = await urlOf(run);
      expect(url).toMatch(new RegExp(`^${PUBLIC_URL}/workflow/hooks/[\\w-]{32}$`));
      const answer = await callHook(app, `${url}?from=mail&n=1&n=2`, {
        headers: { ...json, 'X-Custom': 'yes', authorization: 'Bearer x' },
        body: '{"ok":true,"__proto__":{"evil":true}}',
      });
      expect(answer).toMatchObject({ status: 202, text: '{"accepted":true}' });
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store' });
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      expect((await callHook(app, url, { method: 'PUT', body: bytes })).status).toBe(202);
      const [first, second] = (await run.result()) as [WebhookCall, WebhookCall];
      expect(first).toMatchObject({
        method: 'POST',
        query: { from: 'mail', n: ['1', '2'] },
        headers: { 'content-type': 'application/json', 'x-custom': 'yes' },
        body: { ok: true },
      });
      expect(Object.keys(first.body as object)).toEqual(['ok']);
      expect(first.headers).not.toHaveProperty('authorization');
      expect(first.headers).not.toHaveProperty('connection');
      expect(second).toMatchObject({ method: 'PUT', body: bytes });
      const [entry] = await app.client.journal(run.runId);
      expect(entry).toMatchObject({ key: 'hook', kind: 'webhook', state: 'journaled' });
    });

    it('keep a thousand calls that come before the run waits, in their order', async () => {
      const run = await start({ calls: 1001, later: true });
      const url = await localUrl(app, await urlOf(run));
      for (let n = 0; n < 1000; n++) {
        const { status } = await send(url, { headers: json, body: String(n) });
        if (status !== 202) throw new Error(`call ${n} was answered ${status}`);
      }
      await go(run);
      await send(url, { headers: json, body: '"last"' });
      expect(bodiesOf(await run.result())).toEqual([...Array(1000).keys(), 'last']);
    });

    it('keep calls that come at once, each once', async () => {
      const run = await start({ calls: 200 });
      const url = await localUrl(app, await urlOf(run));
      const numbers = [...Array(200).keys()];
      await Promise.all(numbers.map((n) => send(url, { headers: json, body: String(n) })));
      const bodies = bodiesOf(await run.result()) as number[];
      expect(bodies.toSorted((a, b) => a - b)).toEqual(numbers);
    });

    it('answer 404 to a token that never was, by one reading statement at most', async () => {
      const run = await start({ calls: 1 });
      await waiting(run);
      const url = await urlOf(run);
      await writesNothing(async () => {
        const swapped = url.slice(0, -1) + (url.endsWith('A') ? 'B' : 'A');
        const asked = await statementsOf(app, async () => {
          expect((await callHook(app, swapped, { headers: json, body: '{}' })).status).toBe(404);
        });
        expect(asked.filter((name) => name.includes('webhook'))).toEqual(['workflow_find_webhook']);
        const short = await statementsOf(app, async () => {
          for (const bad of [
            url.slice(0, -1),
            `${url}A`,
            url.replace(/[^/]+$/, '%00'),
            url.replace(/[^/]+$/, ''),
          ])
            expect((await callHook(app, bad, { headers: json, body: '{}' })).status).toBe(404);
        });
        expect(short.filter((name) => name.includes('webhook'))).toEqual([]);
      });
      await callHook(app, url);
      await run.result();
    });

    it('answer 404 once the run has ended, however it did', async () => {
      const [completed, cancelled] = [await start({ calls: 0 }), await start({ calls: 1 })];
      const answers = [await urlOf(completed), await urlOf(cancelled)];
      await completed.result();
      await cancelled.cancel();
      await app.store.settle();
      await writesNothing(async () => {
        for (const url of answers)
          for (const method of ['POST', 'HEAD', 'OPTIONS', 'GET'])
            expect((await callHook(app, url, { method })).status).toBe(404);
      });
    });

    it('take no HEAD and no OPTIONS for a call, and GET only where it is listed', async () => {
      const plain = await start({ calls: 1 });
      const link = await start({ calls: 1, methods: ['GET'] });
      const [plainUrl, linkUrl] = [await urlOf(plain), await urlOf(link)];
      await Promise.all([waiting(plain), waiting(link)]);
      await writesNothing(async () => {
        for (const url of [plainUrl, linkUrl]) {
          expect((await callHook(app, url, { method: 'HEAD' })).status).toBe(200);
          expect((await callHook(app, url, { method: 'OPTIONS' })).status).toBe(204);
        }
        const refused = await callHook(app, plainUrl, { method: 'GET' });
        expect(refused).toMatchObject({ status: 405, headers: { allow: 'POST, PUT, PATCH, HEAD, OPTIONS' } });
        expect((await callHook(app, plainUrl, { method: 'DELETE' })).status).toBe(405);
        expect((await callHook(app, linkUrl, { method: 'POST' })).status).toBe(405);
      });
      expect((await callHook(app, `${linkUrl}?ok=1`, { method: 'GET' })).status).toBe(202);
      expect(await link.result()).toMatchObject([{ method: 'GET', query: { ok: '1' }, body: undefined }]);
      await callHook(app, plainUrl, { method: 'PATCH' });
      expect(await plain.result()).toMatchObject([{ method: 'PATCH' }]);
    });

    it('refuse what is too long or not what it says, and write nothing', async () => {
      const run = await start({ calls: 1 });
      const url = await urlOf(run);
      await waiting(run);
      await writesNothing(async () => {
        const large = new Uint8Array(1024 * 1024 + 1);
        expect((await callHook(app, url, { body: large })).status).toBe(413);
        // as bytes it is short enough, as it is stored it is not
        expect((await callHook(app, url, { body: large.subarray(0, 1024 * 1024) })).status).toBe(413);
        expect((await callHook(app, url, { headers: json, body: '{"a":' })).status).toBe(400);
        expect(
          (await callHook(app, url, { headers: json, body: '['.repeat(2000) + ']'.repeat(2000) })).status,
        ).toBe(400);
      });
      await callHook(app, url);
      await run.result();
    });

    it('time out, and what comes later is for the next wait', async () => {
      const run = await start({ calls: 2, timeout: '1s' });
      const url = await urlOf(run);
      await waiting(run);
      await expect
        .poll(async () => (await app.client.journal(run.runId)).at(-1)?.key, { timeout: 10_000 })
        .toBe('call 1');
      await callHook(app, url, { headers: json, body: '"late"' });
      expect(bodiesOf(await run.result())).toEqual(['timed out', 'late']);
    });

    it('are given to two waits in turn, one call each', async () => {
      const run = await start({ calls: 2 });
      const url = await urlOf(run);
      await waiting(run);
      await callHook(app, url, { headers: json, body: '"first"' });
      await expect
        .poll(async () => (await app.client.journal(run.runId)).at(-1)?.key, { timeout: 10_000 })
        .toBe('call 1');
      await callHook(app, url, { headers: json, body: '"second"' });
      expect(bodiesOf(await run.result())).toEqual(['first', 'second']);
    });

    it('let in only whom the workflow knows', async () => {
      Verifies.requests = [];
      const run = await start({ calls: 1 }, Verifies);
      const url = await urlOf(run);
      await waiting(run);
      const body = ' { "paid" : 12 } ';
      await writesNothing(async () => {
        expect((await callHook(app, url, { headers: json, body })).status).toBe(401);
        const headers = { ...json, 'x-signature': signatureOf(body.trim()) };
        expect((await callHook(app, url, { headers, body })).status).toBe(401);
      });
      const headers = { ...json, 'x-signature': signatureOf(body) };
      expect((await callHook(app, `${url}?q=1`, { headers, body })).status).toBe(202);
      expect(bodiesOf(await run.result())).toEqual([{ paid: 12 }]);
      expect(Verifies.requests.at(-1)).toMatchObject({
        name: 'hook',
        runId: run.runId,
        workflow: 'verifies',
        method: 'POST',
        query: { q: '1' },
        rawBody: Buffer.from(body),
      });
    });

    it.each([
      ['open', 202],
      ['broken', 401],
      ['forgetful', 401],
    ])('are checked by the method for their name, where there is one: %s', async (name, status) => {
      const run = await start({ calls: 1, name }, Verifies);
      const url = await urlOf(run);
      expect((await callHook(app, url)).status).toBe(status);
      await run.cancel();
    });

    it('whatever is sent to them: an answer, no 500, and nothing written unless it is 202', async () => {
      const run = await start({ calls: 1, later: true });
      const hook = await localUrl(app, await urlOf(run));
      await waiting(run);
      const base = hook.slice(0, hook.lastIndexOf('/') + 1);
      const method = fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'HEAD', 'OPTIONS');
      const path = fc.oneof(
        fc.stringMatching(/^[\w-]{32}$/),
        fc.webSegment(),
        fc.constantFrom('..', '%00', '%', '%ff', '__proto__', "'; drop table workflow_run; --", ''),
      );
      const type = fc.constantFrom(
        'application/json',
        'application/x-www-form-urlencoded',
        'text/plain',
        'x/y',
        '',
      );
      const query = fc.oneof(fc.webQueryParameters(), fc.constantFrom('%', '%00', '__proto__[a]=1', '&&='));
      const body = fc.uint8Array({ maxLength: 200 });
      await writesNothing(() =>
        fc.assert(
          fc.asyncProperty(
            method,
            path,
            query,
            type,
            body,
            async (verb, segment, parameters, contentType, bytes) => {
              const url = `${base}${encodeURI(segment)}?${parameters}`;
              const { status } = await send(url, {
                method: verb,
                headers: { 'content-type': contentType },
                body: bytes,
              });
              expect([400, 404]).toContain(status);
            },
          ),
          { numRuns: 100 },
        ),
      );
      let taken = 0;
      await fc.assert(
        fc.asyncProperty(method, query, type, body, async (verb, parameters, contentType, bytes) => {
          const url = `${hook}?${parameters}`;
          const { status } = await send(url, {
            method: verb,
            headers: { 'content-type': contentType },
            body: bytes,
          });
          expect([200, 202, 204, 400, 405]).toContain(status);
          if (status === 202) taken++;
        }),
        { numRuns: 100 },
      );
      const kept = await app.database.source.query<{ count: number }[]>(
        `select count(*)::int as count from workflow_message where event = $1`,
        [`webhook:${hook.slice(base.length)}`],
      );
      expect(kept).toEqual([{ count: taken }]);
      await run.cancel();
    });
  });

  it('without a public URL the call fails, with a code, and is not tried again', async () => {
    const database = await create();
    const app = await startWebhookApp(database, 'in-process', { workflow: { http: {} } });
    try {
      const caught = await app.client.trigger(HasNoUrl, { catches: true });
      expect(await caught.result()).toEqual({ code: 'WF_NO_PUBLIC_URL', step: 'hook' });
      const failed = await app.client.trigger(HasNoUrl, { catches: false });
      await expect(failed.result()).rejects.toMatchObject({ code: 'WF_RUN_FAILED' });
      const run = await failed.get();
      expect(run).toMatchObject({ status: 'failed', attempt: 1 });
      expect(JSON.stringify(run)).toContain('WF_NO_PUBLIC_URL');
    } finally {
      await app.close();
      await database.dispose();
    }
  });
});
