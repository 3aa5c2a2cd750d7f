import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect } from 'vitest';
import { Step, Workflow, WorkflowContext } from 'nestjs-workflow';
import { Aftermath } from '../../lib/runtime/aftermath.js';
import { startApp, untilStatus, type TestApp } from '../client/support.js';
import { CONTENT_TYPE, createSigningKeys, MessageSigner, SIGNATURE_HEADER } from '../../lib/http/index.js';
import { send } from '../http/webhook-support.js';
import { createMemory, createPostgres, type TestDatabase } from '../support/databases.js';
import { callHook, Collects, localUrl, SIGNING_KEY, startWebhookApp, urlOf } from '../webhooks/support.js';
import { CLIENT_CALLS, type ClientCall } from './client-calls.js';
import { Echo, Keyed } from './engine.js';
import { anything, text } from './strange.js';
import { Cases, expectWorkflowError, outcomeOf } from './support.js';

const cases = new Cases('applications');

/** What the step of a run does. */
const works = new Map<string, () => unknown>();

@Workflow({ name: 'strange', retries: 0 })
class Strange {
  async run(ctx: WorkflowContext): Promise<unknown> {
    return this.work(ctx.runId);
  }

  @Step({ retries: 0 })
  async work(runId: string): Promise<any> {
    return works.get(runId)!();
  }
}

const databases: TestDatabase[] = [];
const apps: TestApp[] = [];
let quiet: Record<'postgres' | 'pglite', TestApp>;
let web: TestApp;

beforeAll(async () => {
  const [postgres, pglite, other] = [await createPostgres(), await createMemory(), await createPostgres()];
  databases.push(postgres, pglite, other);
  // nothing is executed, and no rounds delete what has expired: nothing but the calls writes
  const options = {
    providers: [Echo, Keyed],
    workflow: { worker: false as const },
    runtime: { heartbeatMs: 3_600_000 },
  };
  quiet = { postgres: await startApp(postgres, options), pglite: await startApp(pglite, options) };
  web = await startWebhookApp(other, 'http', { providers: [Collects, Strange] });
  apps.push(...Object.values(quiet), web);
  for (const { client } of Object.values(quiet)) {
    await client.trigger(Echo, 1, { runId: 'there', labels: ['mine'] });
    await client.trigger(Keyed, { tenant: 'a', order: 7 }, { runId: 'keyed' });
    await client.schedules.create(Echo, { id: 'nightly', every: '1h', payload: 1 });
  }
});
afterAll(async () => {
  for (const app of apps) await app.close();
  for (const database of databases) await database.dispose();
});

const TABLES = ['run', 'step', 'task', 'message', 'schedule', 'flow_control', 'flow_note'];

/** One text for all rows there are: two are the same when nothing was written in between. */
async function digest({ app, database }: TestApp): Promise<string> {
  // what the call before has ended may owe something
  await app.get(Aftermath, { strict: false }).idle();
  const of = TABLES.map(
    (table) =>
      `(select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from workflow_${table} t)`,
  );
  const [row] = await database.source.query<{ all: string }[]>(
    `select concat_ws(' ', ${of.join(', ')}) as all`,
  );
  return row!.all;
}

const anyCall: fc.Arbitrary<ClientCall> = fc.oneof(...Object.values(CLIENT_CALLS).map(({ calls }) => calls));

for (const name of ['postgres', 'pglite'] as const) {
  cases.property(
    `calls of the client on ${name}: done, or refused and nothing written`,
    name === 'postgres' ? 500 : 300,
    anyCall,
    async (call) => {
      const app = quiet[name];
      const before = await digest(app);
      const outcome = await outcomeOf(() => call(app.client));
      if (!outcome.ok) {
        expectWorkflowError(outcome.error);
        expect(await digest(app)).toBe(before);
      }
      // and it goes on
      expect(await app.client.get('there')).toMatchObject({ payload: 1 });
    },
  );
}

cases.property(
  'a step that gives or throws anything: its run ends, with a value or a failure that names itself',
  150,
  fc.tuple(anything, fc.boolean()),
  async ([value, fails]) => {
    const runId = `strange ${works.size}`;
    works.set(runId, () => {
      if (fails) throw value;
      return value;
    });
    const run = await web.client.trigger(Strange, undefined, { runId });
    const outcome = await outcomeOf(() => run.result({ timeout: '30s' }));
    const ended = await run.get();
    if (outcome.ok) expect(ended.status).toBe('completed');
    else {
      expectWorkflowError(outcome.error);
      expect(ended).toMatchObject({ status: 'failed', error: { step: 'Strange.work' } });
    }
    expect((await web.client.journal(runId)).length).toBe(1);
  },
);

/** The bytes of a whole request, or of what looks a little like one; then the sender hangs up. */
async function sendBytes(bytes: Buffer): Promise<string> {
  const { port, hostname } = new URL(await web.app.getUrl());
  const socket = connect(Number(port), hostname.replace(/[[\]]/g, ''));
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1'))).on('error', () => {});
  socket.end(bytes);
  await once(socket, 'close');
  return answer;
}

const target = fc.oneof(
  fc.constantFrom(
    '/workflow/deliver',
    '/workflow/deliver?x=1',
    '/workflow/hooks/',
    '/workflow/hooks/%ZZ',
    `/workflow/hooks/${'a'.repeat(32)}`,
  ),
  fc.webPath().map((path) => `/workflow/hooks/${path}`),
);
const line = fc.oneof(
  fc.constantFrom(
    'Content-Length: 5',
    'Content-Length: 999',
    'Content-Length: -1',
    'Content-Length: 5\r\nContent-Length: 6',
  ),
  fc.constantFrom(
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked, gzip',
    'Expect: 100-continue',
    'Upgrade: h2c',
  ),
  fc.constantFrom(
    'Content-Type: application/json',
    'Content-Type: application/vnd.nestjs-workflow.v1+json',
    'Content-Encoding: gzip',
  ),
  fc.constantFrom(
    'Workflow-Signature: e30.e30.e30',
    'Workflow-Signature: a\r\nWorkflow-Signature: b',
    'X: \x80\xff',
    'No colon',
    ': none',
  ),
);
const rawRequest = (path: fc.Arbitrary<string>) =>
  fc.record({
    method: fc.constantFrom('POST', 'PUT', 'GET', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'FOO', 'TRACE'),
    path,
    lines: fc.array(line, { maxLength: 4 }),
    body: fc.oneof(
      fc.constantFrom('', 'hello', '5\r\nhello\r\n0\r\n\r\n', '5\r\nhel', 'ZZ\r\n', '{"a":1}'),
      text(30),
    ),
  });

let hooked: Promise<string> | undefined;

/** The path of a webhook whose run waits for something else. */
async function hook(): Promise<string> {
  const run = await web.client.trigger(Collects, { calls: 1, later: true }, { runId: 'hooked' });
  const { pathname: path } = new URL(await localUrl(web, await urlOf(run)));
  // it has told its URL, and is about to wait: from then on nothing but the calls writes
  await untilStatus(web.client, run.runId, 'waiting');
  return path;
}

interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly lines: readonly string[];
  readonly body: string;
}

/** Sends it, and looks at what was answered: nothing of the server's own faults, nothing of its inside. */
async function expectNoFault({ method, path, lines, body }: RawRequest): Promise<void> {
  const head = [`${method} ${path} HTTP/1.1`, 'Host: a', 'Connection: close', ...lines].join('\r\n');
  const answer = await sendBytes(Buffer.from(`${head}\r\n\r\n${body}`, 'latin1'));
  for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) expect(Number(status)).toBeLessThan(500);
  expect(answer).not.toMatch(/\n\s+at |node_modules|TypeError|RangeError/);
}

cases.property(
  'bytes on the socket: never a 5xx, nothing of the inside, nothing written',
  300,
  rawRequest(target),
  async (raw) => {
    await (hooked ??= hook());
    const before = await digest(web);
    await expectNoFault(raw);
    expect(await digest(web)).toBe(before);
  },
);

const sign = new MessageSigner(createSigningKeys({ signingKey: SIGNING_KEY }));
const whole = fc.oneof(fc.nat(4), fc.nat(), fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 53, -1));

cases.property(
  'signed deliveries that are wrong in meaning, on PostgreSQL: 4xx or a reply, and nothing written',
  200,
  fc.record({
    workflow: fc.oneof({ weight: 4, arbitrary: fc.constant('collects') }, text(9)),
    version: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, text(9)),
    runId: fc.oneof({ weight: 4, arbitrary: fc.constant('hooked') }, text(9)),
    taskId: fc.oneof(fc.nat(20).map(String), fc.constantFrom('9223372036854775807', '9223372036854775808')),
    fence: whole,
    seq: whole,
    step: fc.option(fc.oneof(text(9), fc.constantFrom('tell', 'hook')), { nil: undefined }),
  }),
  async (delivery) => {
    await (hooked ??= hook());
    const before = await digest(web);
    const body = Buffer.from(JSON.stringify(delivery));
    // not by `fetch`, which sends again by itself what is answered 421: a signature that was used before
    const headers = { 'content-type': CONTENT_TYPE, [SIGNATURE_HEADER]: sign.sign('delivery', body) };
    const { status, text: json } = await send(`${await web.app.getUrl()}/workflow/deliver`, {
      headers,
      body,
    });
    const answer = JSON.parse(json) as object;
    // the one fence and turn that are right: the run looks around, and waits on
    if (status === 200) return expect(answer).toEqual({ next: 'waiting' });
    expect([400, 409, 421]).toContain(status);
    expect(Object.keys(answer)).toEqual(['code', 'message']);
    expect(await digest(web)).toBe(before);
  },
);

// no look at the rows: a request may be whole, and so taken, although the sender hung up or sent nonsense behind it
cases.property(
  'bytes on the socket for a webhook that is there: never a 5xx, and it can be called still',
  100,
  rawRequest(fc.constantFrom('', '/', '/x', '?%', '?a=1&a=2')),
  async (raw) => {
    const path = await (hooked ??= hook());
    await expectNoFault({ ...raw, path: path + raw.path });
    const { status } = await send((await web.app.getUrl()) + path, { body: 'x' });
    expect(status).toBe(202);
  },
);

cases.property(
  'calls of a webhook come to the run as they were sent, in order',
  150,
  fc.array(
    fc.oneof(
      fc
        .jsonValue({ maxDepth: 3 })
        .map((json) => ['application/json', Buffer.from(JSON.stringify(json))] as const),
      fc
        .uint8Array({ minLength: 1, maxLength: 50 })
        .map((bytes) => ['image/png', Buffer.from(bytes)] as const),
      text(30).map((of) => ['text/plain', Buffer.from(of)] as const),
    ),
    { minLength: 1, maxLength: 3 },
  ),
  async (sent) => {
    const run = await web.client.trigger(Collects, { calls: sent.length });
    const url = await urlOf(run);
    for (const [type, body] of sent) {
      const { status } = await callHook(web, url, {
        method: 'POST',
        headers: { 'content-type': type },
        body,
      });
      expect(status).toBe(202);
    }
    const calls = (await run.result({ timeout: '60s' })) as { body: unknown }[];
    for (const [i, [type, body]] of sent.entries()) {
      const got = calls[i]!.body;
      if (body.length === 0) expect(got).toBeUndefined();
      else if (type === 'image/png') expect(Buffer.from(got as Uint8Array).equals(body)).toBe(true);
      else if (type === 'text/plain') expect(got).toBe(new TextDecoder().decode(body));
      else if (!body.includes('__proto__')) expect(got).toEqual(JSON.parse(body.toString()));
    }
  },
);
