import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  FailureContext,
  OnFailure,
  StepFailedError,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  type CallOptions,
} from 'nestjs-workflow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boot, until, type Instance } from '../races/support.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { serveHttp } from './support.js';

interface Payload {
  calls: CallOptions[];
  /** a sleep after the calls: what follows is a replay */
  nap?: boolean;
}

@Workflow({ name: 'caller', retries: 0, stepDefaults: { backoff: { initial: '1ms', jitter: false } } })
class Caller {
  async run(ctx: WorkflowContext<Payload>): Promise<unknown[]> {
    const { calls, nap } = ctx.payload;
    const settled = await Promise.allSettled(calls.map((call, i) => ctx.call(`call ${i}`, call)));
    if (nap) await ctx.sleep('nap', '1ms');
    return settled.map((one) => {
      if (one.status === 'fulfilled') return one.value;
      const { attempts, failure } = one.reason as StepFailedError;
      return { attempts, ...failure };
    });
  }
}

@Workflow({ name: 'fails beside', retries: 0 })
class FailsBeside {
  async run(ctx: WorkflowContext<CallOptions>): Promise<unknown> {
    return Promise.all([
      ctx.call('call', ctx.payload),
      ctx.waitForEvent('fail', `fail ${ctx.runId}`).then(() => {
        throw new Error('beside');
      }),
    ]);
  }

  @OnFailure()
  async failed(ctx: FailureContext<CallOptions>): Promise<void> {
    await ctx.waitForEvent('go', `go ${ctx.runId}`);
    await ctx.call('call', { url: ctx.payload.url });
  }
}

@Workflow({ name: 'short' })
class Short {
  async run(ctx: WorkflowContext): Promise<string> {
    return ctx.run('one', () => 'done');
  }
}

/** Requests that are answered when the test says so. */
class Held {
  readonly waiting: { request: IncomingMessage; response: ServerResponse; gone: boolean }[] = [];
  seen = 0;
  most = 0;

  readonly take = (request: IncomingMessage, response: ServerResponse): void => {
    const one = { request, response, gone: false };
    response.once('close', () => (one.gone = true));
    this.waiting.push(one);
    this.seen++;
    this.most = Math.max(this.most, this.waiting.length);
  };

  answer(): void {
    this.waiting.shift()!.response.end('answered');
  }
}

const PROVIDERS = [Caller, FailsBeside, Short];
const CALLS = { allow: ['127.0.0.0/8'], maxResponseBytes: 15_000, concurrency: 2 };

describe.each(DATABASES)('ctx.call on $name', ({ create }) => {
  describe.each(['in-process', 'http'] as const)('over %s', (transport) => {
    let database: TestDatabase;
    let instance: Instance;
    let client: WorkflowClient;
    beforeAll(async () => {
      database = await create();
      instance = await boot(database, {
        providers: PROVIDERS,
        transport,
        maxPayloadBytes: 15_000,
        http: { calls: CALLS },
        worker: { pollInterval: '100ms', concurrency: 1 },
      });
      client = instance.get(WorkflowClient);
    });
    afterAll(async () => {
      await instance?.app.close();
      await database?.dispose();
    });

    const resultOf = async (...calls: CallOptions[]): Promise<any[]> =>
      (await client.trigger(Caller, { calls, nap: true })).result();

    it('gives status, headers and body, and makes the request once', async () => {
      const { url, requests } = await serveHttp((_request, response) => {
        response.writeHead(201, { 'content-type': 'application/json', 'x-id': '7' });
        response.end('{"id":"c7","big":[1,null]}');
      });
      const run = await client.trigger(Caller, {
        calls: [{ url: `${url}/charges`, method: 'POST', body: { amount: 5 }, headers: { 'X-Mine': 'y' } }],
        nap: true,
      });
      const [response] = (await run.result()) as any[];
      expect(response).toMatchObject({
        status: 201,
        body: { id: 'c7', big: [1, null] },
        headers: { 'x-id': '7' },
      });
      expect(requests).toMatchObject([{ method: 'POST', url: '/charges' }]);
      expect(requests[0]!.body.toString()).toBe('{"amount":5}');
      expect(requests[0]!.headers).toMatchObject({
        'content-type': 'application/json',
        'x-mine': 'y',
        'idempotency-key': expect.stringMatching(new RegExp(`^${run.runId}/\\d+/call%200$`)) as string,
      });
      const [entry] = await client.journal(run.runId);
      expect(entry).toMatchObject({ key: 'call 0', kind: 'call', state: 'journaled', attempts: 1 });
    });

    it('takes any body and gives any, binary too', async () => {
      const { url, requests } = await serveHttp((_request, response, body) => {
        response.setHeader('content-type', 'application/octet-stream');
        response.end(createHash('sha256').update(body).digest());
      });
      const bytes = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7) % 256));
      const [response] = await resultOf({ url, method: 'PUT', body: bytes });
      expect(bytes.equals(requests[0]!.body)).toBe(true);
      expect(Buffer.isBuffer(response.body)).toBe(true);
      expect(response.body).toEqual(createHash('sha256').update(bytes).digest());
    });

    it('takes any status for a value at once', async () => {
      const { url, requests } = await serveHttp((_request, response) => response.writeHead(503).end());
      expect(await resultOf({ url })).toMatchObject([{ status: 503 }]);
      expect(requests.length).toBe(1);
    });

    it('with throwOnError tries again, with the same idempotency key', async () => {
      let n = 0;
      const { url, requests } = await serveHttp((_request, response) => {
        response.statusCode = ++n < 3 ? 503 : 200;
        response.end();
      });
      const run = await client.trigger(Caller, { calls: [{ url, throwOnError: true, retries: 2 }] });
      expect(await run.result()).toMatchObject([{ status: 200 }]);
      expect(requests.length).toBe(3);
      expect(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
      expect((await client.journal(run.runId))[0]).toMatchObject({ attempts: 3 });
    });

    it('waits as long as the server asks', async () => {
      const { url, requests } = await serveHttp((_request, response) => {
        response.writeHead(429, { 'retry-after': '3600' }).end();
      });
      const run = await client.trigger(Caller, { calls: [{ url, throwOnError: true }] });
      const due = async (): Promise<number | undefined> => {
        const [row] = await instance.rows<{ s: number }>(
          `select extract(epoch from k.due_at - now())::float8 as s from workflow_task k
           join workflow_run r on r.id = k.execution
           where r.run_id = '${run.runId}' and k.kind = 'call' and k.lease_owner is null`,
        );
        return row?.s;
      };
      await until(async () => ((await due()) ?? 0) > 10, 'the retry');
      expect(await due()).toBeGreaterThan(3500);
      // what a process takes for the time of the database is ahead of it by as much as the way of a reply, 20 ms at most
      expect(await due()).toBeLessThanOrEqual(3600.02);
      expect(requests.length).toBe(1);
      await run.cancel();
    });

    it('fails with what the last attempt ended with', async () => {
      const answers: Record<string, (response: ServerResponse) => unknown> = {
        '/status': (response) =>
          response.writeHead(422, { 'content-type': 'application/json' }).end('{"error":"no amount"}'),
        '/reset': (response) => response.socket!.resetAndDestroy(),
        '/garbage': (response) => response.socket!.end('garbage'),
        '/hang': () => undefined,
        '/large': (response) => response.end(Buffer.alloc(15_001)),
        '/bytes': (response) => response.end(Buffer.alloc(14_000, 1)),
        '/inside': (response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
      };
      const { url, requests } = await serveHttp((request, response) => {
        answers[request.url!]!(response);
      });
      const { port } = new URL(url);
      expect(
        await resultOf(
          { url: `${url}/status`, throwOnError: true },
          { url: `${url}/reset`, retries: 2 },
          { url: `${url}/garbage`, retries: 1 },
          { url: `${url}/hang`, retries: 1, timeout: '20ms' },
          { url: `${url}/large` },
          { url: `${url}/bytes` },
          { url: `${url}/inside` },
          { url: `http://[::1]:${port}/` },
        ),
      ).toMatchObject([
        { attempts: 1, code: 'WF_CALL_STATUS', data: { status: 422, body: { error: 'no amount' } } },
        { attempts: 3, code: 'WF_CALL_FAILED' },
        { attempts: 2, code: 'WF_CALL_FAILED' },
        { attempts: 2, code: 'WF_CALL_TIMEOUT' },
        { attempts: 1, code: 'WF_CALL_TOO_LARGE' },
        // base64 of it is longer than a payload may be
        { attempts: 1, code: 'WF_TOO_LARGE' },
        { attempts: 1, code: 'WF_CALL_DENIED' },
        { attempts: 1, code: 'WF_CALL_DENIED' },
      ]);
      const made = (path: string): number => requests.filter((one) => one.url === path).length;
      // a time limit of 20 ms may pass before the request is out
      const { '/hang': _, ...counted } = answers;
      expect(Object.keys(counted).map(made)).toEqual([1, 3, 2, 1, 1, 1]);
    });

    it('that cannot be made fails the run, and asks for nothing', async () => {
      const run = await client.trigger(Caller, { calls: [{ url: 'file:///etc/passwd' }] });
      await expect(run.result()).rejects.toMatchObject({ failure: { code: 'WF_INVALID_ARGUMENT' } });
      const large = await client.trigger(Caller, {
        calls: [{ url: 'http://127.0.0.1/', method: 'POST', body: 'x'.repeat(14_800) }],
      });
      await expect(large.result()).rejects.toMatchObject({ failure: { code: 'WF_TOO_LARGE' } });
      for (const { runId } of [run, large]) expect(await client.journal(runId)).toEqual([]);
    });

    it('holds no run and no place; so many at a time as the option says', async () => {
      const held = new Held();
      const { url } = await serveHttp(held.take);
      const run = await client.trigger(Caller, { calls: Array.from({ length: 5 }, () => ({ url })) });
      await until(() => held.waiting.length === 2, 'two calls');
      // concurrency is 1, and two calls are under way
      expect(await (await client.trigger(Short, undefined)).result()).toBe('done');
      const leased = await instance.rows<{ kind: string }>(
        `select k.kind from workflow_task k join workflow_run r on r.id = k.execution
         where r.run_id = '${run.runId}' and k.lease_owner is not null`,
      );
      expect(leased.map(({ kind }) => kind)).toEqual(['call', 'call']);
      while (held.seen < 5) {
        const { seen } = held;
        held.answer();
        await until(() => held.seen > seen, 'the next call');
      }
      held.answer();
      held.answer();
      expect(await run.result()).toHaveLength(5);
      expect(held.most).toBe(2);
    });

    it('stands in the line of its flow-control key, whatever run it belongs to', async () => {
      const held = new Held();
      const { url } = await serveHttp(held.take);
      const call = { url, flowControl: { key: `one at a time ${transport}`, parallelism: 1 } };
      const runs = await Promise.all(
        [2, 1].map((n) => client.trigger(Caller, { calls: Array(n).fill(call) })),
      );
      for (let seen = 1; seen <= 3; seen++) {
        await until(() => held.seen === seen, `call ${seen}`);
        const info = await client.flowControl.info(call.flowControl.key);
        expect(info).toMatchObject({ running: 1, parallelism: 1 });
        held.answer();
      }
      expect((await Promise.all(runs.map((run) => run.result()))).flat()).toHaveLength(3);
      expect(held.most).toBe(1);
    });

    it('of a cancelled run is aborted', async () => {
      const held = new Held();
      const { url } = await serveHttp(held.take);
      const run = await client.trigger(Caller, { calls: [{ url }] });
      await until(() => held.waiting.length === 1, 'the call');
      await run.cancel();
      await until(() => held.waiting[0]!.gone, 'the end of the connection');
      await instance.get(WorkflowClient).get(run.runId);
      expect(held.seen).toBe(1);
    });

    it('is not made again once its run has failed', async () => {
      const { url, requests } = await serveHttp((_request, response) => response.writeHead(503).end());
      const run = await client.trigger(FailsBeside, {
        url,
        throwOnError: true,
        // in which the run fails, also on a machine that is busy
        retryDelay: '2s',
      });
      await until(() => requests.length === 1, 'the first attempt');
      await client.notify(`fail ${run.runId}`, null, { runId: run.runId });
      await until(async () => (await client.getWaiters(`go ${run.runId}`)).length === 1, '@OnFailure');
      const call = async () => (await client.journal(run.runId)).find(({ key }) => key === 'call');
      await until(async () => (await call())!.state !== 'pending', 'the end of the call');
      expect((await call())!.error!.message).toContain('The run failed before');
      expect(requests.length).toBe(1);
      await client.notify(`go ${run.runId}`, null, { runId: run.runId });
      await expect(run.result()).rejects.toMatchObject({ failure: { message: 'beside' } });
      // its @OnFailure may call
      expect(requests.map(({ headers }) => headers['idempotency-key'])).toEqual([
        expect.stringMatching(/\/\d+\/call$/),
        expect.stringMatching(/\/\d+\/onFailure\/call$/),
      ]);
    });
  });
});

describe('two processes', () => {
  let database: TestDatabase;
  const instances: Instance[] = [];
  beforeAll(async () => {
    database = await DATABASES[0]!.create();
  });
  afterAll(async () => {
    for (const one of instances) await one.app.close();
    await database?.dispose();
  });
  const start = async (worker: object): Promise<Instance> => {
    const one = await boot(database, {
      providers: PROVIDERS,
      transport: 'in-process',
      http: { calls: CALLS },
      worker: { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms', ...worker },
    });
    instances.push(one);
    return one;
  };

  it('one that shuts down gives its call to the other at once', async () => {
    const held = new Held();
    const { url, requests } = await serveHttp(held.take);
    const slow = { heartbeat: '10s', leaseTimeout: '1h', shutdownGrace: '10ms' };
    const first = await start(slow);
    const run = await first.get(WorkflowClient).trigger(Caller, { calls: [{ url }] });
    await until(() => held.waiting.length === 1, 'the call');
    const second = await start(slow);
    await instances.shift()!.app.close();
    await until(() => held.waiting[0]!.gone, 'the end of the first');
    await until(() => held.waiting.length === 2, 'the call of the other');
    held.waiting[1]!.response.end('answered');
    const handle = second.get(WorkflowClient).run(Caller, run.runId);
    expect(await handle.result()).toMatchObject([{ status: 200 }]);
    // cut off, it has not failed
    expect((await second.get(WorkflowClient).journal(run.runId))[0]).toMatchObject({ attempts: 1 });
    expect(requests[0]!.headers['idempotency-key']).toBe(requests[1]!.headers['idempotency-key']);
  });

  it('a call that ends within the grace of a shutdown counts', async () => {
    const held = new Held();
    const { url } = await serveHttp(held.take);
    for (const one of instances.splice(0)) await one.app.close();
    const first = await start({ shutdownGrace: '1h' });
    const run = await first.get(WorkflowClient).trigger(Caller, { calls: [{ url }] });
    await until(() => held.waiting.length === 1, 'the call');
    const closed = instances.pop()!.app.close();
    held.answer();
    await closed;
    const second = await start({});
    expect(await second.get(WorkflowClient).run(Caller, run.runId).result()).toMatchObject([{ status: 200 }]);
    expect(held.seen).toBe(1);
  });

  it('one that loses its lease aborts the call, which the other has made again', async () => {
    const held = new Held();
    const { url } = await serveHttp(held.take);
    for (const one of instances.splice(0)) await one.app.close();
    const first = await start({});
    const run = await first.get(WorkflowClient).trigger(Caller, { calls: [{ url }] });
    await until(() => held.waiting.length === 1, 'the call');
    const revive = first.stopHeart();
    const second = await start({});
    await until(() => held.waiting.length === 2, 'the call of the other');
    expect(held.waiting[0]!.gone).toBe(false);
    revive();
    await until(() => held.waiting[0]!.gone, 'the end of the first');
    held.waiting[1]!.response.end('answered');
    expect(await second.get(WorkflowClient).run(Caller, run.runId).result()).toMatchObject([{ status: 200 }]);
    expect(held.seen).toBe(2);
  });
});
