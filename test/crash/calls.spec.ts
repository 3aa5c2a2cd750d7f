import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ProbePoint } from '../../lib/ports/probe.js';
import type { WorkflowDatabase } from '../../lib/workflow.options.js';
import { serveHttp, type Served } from '../calls/support.js';
import { bundle, Child } from '../support/child.js';
import { createFolder, createPostgres, type TestDatabase } from '../support/databases.js';

/** What a process that makes an external call is told. */
export interface CallerOrder {
  readonly database: WorkflowDatabase;
  readonly transport: 'in-process' | 'http';
  readonly url: string;
  /** dies when the call comes to this point */
  readonly kill?: ProbePoint;
}

interface Ended {
  readonly result?: unknown;
  readonly failed?: string;
}

// processes boot one after the other
vi.setConfig({ testTimeout: 180_000 });

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/crash/children/caller.ts');
});
afterAll(() => program?.remove());

/** Holds each request, until the test answers it. */
async function holding(): Promise<Served & { next(): Promise<ServerResponse> }> {
  const held: ServerResponse[] = [];
  let arrived = (): void => {};
  const served = await serveHttp((_request, response) => {
    held.push(response);
    arrived();
  });
  return {
    ...served,
    async next() {
      if (held.length === 0) await new Promise<void>((resolve) => (arrived = resolve));
      return held.shift()!;
    },
  };
}

const DONE: Ended = { result: { status: 200, body: 'charged' } };
const answer = (response: ServerResponse): void => {
  response.setHeader('content-type', 'text/plain');
  response.end('charged');
};

let database: TestDatabase;
const children: Child[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await child.kill();
  await database.dispose();
});

function start(order: Omit<CallerOrder, 'database'>): Child {
  const child = Child.start(program.file, [
    JSON.stringify({ ...order, database: database.options } satisfies CallerOrder),
  ]);
  children.push(child);
  return child;
}

describe.each([
  ['postgres', createPostgres],
  ['pglite folder', createFolder],
] as const)('an external call on %s', (_name, create) => {
  it.each(['in-process', 'http'] as const)(
    'whose process is killed in the middle is made again, over %s',
    async (transport) => {
      database = await create();
      if (database.folder !== undefined) await (await database.open()).destroy();
      const server = await holding();
      const order = { transport, url: server.url };
      const first = start(order);
      const cut = await server.next();
      await first.kill();
      expect(cut.writableEnded).toBe(false);

      const second = start(order);
      const ended = second.message<Ended>();
      answer(await server.next());
      expect(await ended).toEqual(DONE);
      expect(await second.ended).toBe(0);
      expect(server.requests.length).toBe(2);
      expect(new Set(server.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
    },
  );
});

describe('a process that makes an external call', () => {
  it.each([
    ['step-executed', 2],
    ['answer-sent', 2],
    ['answer-durable', 1],
  ] as const)('and dies at %s: so many requests were made: %i', async (kill, requests) => {
    database = await createPostgres();
    const server = await serveHttp((_request, response) => answer(response));
    const order = { transport: 'in-process', url: server.url } as const;
    expect(await start({ ...order, kill }).ended).toBe('SIGKILL');
    expect(await start(order).message<Ended>()).toEqual(DONE);
    expect(server.requests.length).toBe(requests);
  });

  it('and dies of it five times does not take a sixth with it', async () => {
    database = await createPostgres();
    const server = await serveHttp((_request, response) => answer(response));
    const order = { transport: 'in-process', url: server.url } as const;
    for (let loss = 1; loss <= 5; loss++) {
      expect(await start({ ...order, kill: 'step-executed' }).ended).toBe('SIGKILL');
      expect(server.requests.length).toBe(loss);
    }
    const { failed } = await start(order).message<Ended>();
    expect(failed).toContain('Call "charge"');
    expect(failed).toContain('[WF_WORKER_LOST]');
    expect(server.requests.length).toBe(5);
  });
});
