import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { dump, type TestApp } from '../client/support.js';
import {
  ADAPTER_NAMES,
  closing,
  completes,
  create,
  KEY,
  listening,
  type HostedApp,
} from '../hosts/support.js';
import { createPostgres, type TestDatabase } from '../support/databases.js';
import { recordingProxy, send } from './recording-proxy.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await createPostgres();
});
afterAll(() => db?.dispose());

const portOf = ({ server }: HostedApp): number => (server.address() as AddressInfo).port;
const rows = ({ app }: HostedApp): ReturnType<typeof dump> =>
  dump({ database: app.get(Database, { strict: false }) } as TestApp);

describe.each(ADAPTER_NAMES)('whoever has recorded all deliveries, on %s', (adapter) => {
  it('changes nothing by sending them again, here or at another instance', async () => {
    const proxy = closing(await recordingProxy());
    const http = { url: proxy.url, signingKey: KEY };
    const hosted = await create(adapter, { database: db.options, http });
    hosted.server.prependListener('listening', () => (proxy.ports = [portOf(hosted)]));
    await hosted.app.listen(0, '127.0.0.1');
    // executes what it is sent, and claims nothing
    const other = await listening(adapter, { database: db.options, http, worker: false });
    await completes(hosted, `${adapter}, recorded`);
    // the result is there before the answer of the delivery that brought it
    await hosted.scheduler.idle();

    const recorded = [...proxy.recorded];
    const deliveries = recorded.filter(({ body }) => !body.includes('"ping"'));
    expect(deliveries.length).toBeGreaterThanOrEqual(5);
    expect(new Set(recorded.map(({ status }) => status))).toEqual(new Set([200]));
    const before = await rows(hosted);
    const executed = [...hosted.shop.executed];
    for (const each of recorded) {
      const again = await send(portOf(hosted), each);
      expect(again).toMatchObject({ status: 401, body: expect.stringContaining('used before') as string });
    }
    // it has not seen these signatures; what they say is overtaken
    for (const each of deliveries) {
      const elsewhere = await send(portOf(other), each);
      expect(elsewhere).toMatchObject({
        status: 409,
        body: expect.stringContaining('WF_STALE_DELIVERY') as string,
      });
      expect((await send(portOf(other), each)).status).toBe(401);
    }
    // with the body of another one, or of its own and more
    const [one, two] = [deliveries[0]!, deliveries[1]!];
    expect(
      (
        await send(portOf(other), {
          ...one,
          body: two.body,
          headers: { ...one.headers, 'content-length': String(two.body.length) },
        })
      ).status,
    ).toBe(401);
    expect(await rows(hosted)).toEqual(before);
    expect([hosted.shop.executed, other.shop.executed]).toEqual([executed, []]);
  });
});

it('keys rotate under load: no delivery is refused in any phase, with old and new instances side by side', async () => {
  const [OLD, NEW] = [KEY, 'another-signing-key-that-is-long-enough-too'];
  const own = closing(await createPostgres().then((made) => Object.assign(made, { close: made.dispose })));
  const proxy = closing(await recordingProxy());
  const start = async (keys: { signingKey: string; nextSigningKey?: string }): Promise<HostedApp> => {
    const hosted = await create('fastify', { database: own.options, http: { url: proxy.url, ...keys } });
    hosted.server.once('listening', () => proxy.ports.push(portOf(hosted)));
    await hosted.app.listen(0, '127.0.0.1');
    return hosted;
  };
  let [one, two] = [await start({ signingKey: OLD }), await start({ signingKey: OLD })];
  let rotating = true;
  let runs = 0;
  const load = async (): Promise<void> => {
    // at least one run is under way at any moment, each triggered by an instance that goes away before long
    while (rotating) {
      const id = `rotation ${runs++}`;
      const run = await two.client.trigger('hosted', id, { runId: id });
      await other.client.run('hosted', id).result({ timeout: '60s' });
      expect(run.runId).toBe(id);
    }
  };
  const other = await listening('fastify', { database: own.options, worker: false });
  const loads = Promise.all([load(), load(), load()]);
  const replace = async (
    old: HostedApp,
    keys: Parameters<typeof start>[0],
    use: (fresh: HostedApp) => void,
  ): Promise<void> => {
    use(await start(keys));
    await proxy.leave(portOf(old));
    await old.app.close();
  };
  const seen: string[] = [];
  const lines = (): string[] => [one, two].flatMap((each) => [...each.lines]);
  for (const keys of [
    { signingKey: OLD, nextSigningKey: NEW },
    { signingKey: NEW, nextSigningKey: OLD },
    { signingKey: NEW },
  ]) {
    const passed = proxy.recorded.length;
    seen.push(...lines());
    // nothing is triggered by an instance that is closing
    await replace(two, keys, (fresh) => (two = fresh));
    await replace(one, keys, (fresh) => (one = fresh));
    await expect.poll(() => proxy.recorded.length, { timeout: 30_000 }).toBeGreaterThan(passed + 20);
  }
  rotating = false;
  await loads;
  seen.push(...lines());
  const statuses = new Set(proxy.recorded.map(({ status }) => status));
  expect(statuses).not.toContain(401);
  expect(seen.filter((line) => /refuses|WF_UNSIGNED/.test(line))).toEqual([]);
  expect(runs).toBeGreaterThan(10);
});
