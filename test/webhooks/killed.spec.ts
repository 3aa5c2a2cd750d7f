import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { send } from '../http/webhook-support.js';
import { bundle, Child } from '../support/child.js';
import { createFolder, createPostgres } from '../support/databases.js';
import { Collects, startWebhookApp } from './support.js';

describe.each([
  { name: 'postgres', create: createPostgres },
  { name: 'pglite in a folder', create: createFolder },
])('after SIGKILL, $name', ({ create }) => {
  let program: Awaited<ReturnType<typeof bundle>>;
  beforeAll(async () => {
    program = await bundle('test/webhooks/children/host.ts');
  });
  afterAll(() => program?.remove());

  it('each call that was answered 202 is there, in its order', async () => {
    const database = await create();
    const child = Child.start(program.file, [JSON.stringify(database.options)]);
    try {
      const url = await child.message<string>();
      for (const body of ['one', 'two', 'three']) {
        const { status } = await send(url, { headers: { 'content-type': 'text/plain' }, body });
        expect(status).toBe(202);
      }
      await child.kill();
      await expect(send(url)).rejects.toThrow('ECONNREFUSED');
      const app = await startWebhookApp(database, 'in-process', {
        workflow: { worker: { heartbeat: '100ms', leaseTimeout: '600ms', pollInterval: '100ms' } },
      });
      try {
        const run = app.client.run(Collects, 'killed');
        await run.notify('go killed', null);
        expect(await run.result({ timeout: '30s' })).toMatchObject([
          { body: 'one' },
          { body: 'two' },
          { body: 'three' },
        ]);
      } finally {
        await app.close();
      }
    } finally {
      await child.kill();
      await database.dispose();
    }
  });
});
