import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundle, Child } from '../support/child.js';
import { createFolder, type TestDatabase } from '../support/databases.js';

describe('a process killed while it writes to an embedded folder', () => {
  let program: Awaited<ReturnType<typeof bundle>>;
  let database: TestDatabase;
  beforeAll(async () => {
    program = await bundle('test/storage/children/writer.ts');
    database = await createFolder();
    await (await database.open()).destroy();
  });
  afterAll(async () => {
    program.remove();
    await database.dispose();
  });

  it('leaves each committed row, and the folder to the next process at once', async () => {
    for (const enough of [20, 60, 100]) {
      const writer = Child.start(program.file, [database.folder!]);
      let last = 0;
      writer.process.on('message', (n) => (last = n as number));
      await writer.message<number>((n) => n >= enough);
      await writer.kill();

      const source = await database.open();
      const [row] = await source.query('select count(*)::int as count, max(n) as max from written');
      await source.destroy();
      expect(row.count).toBe(row.max); // no gap
      expect(row.count).toBeGreaterThanOrEqual(last);
    }
  });

  it('keeps another process out while it lives', async () => {
    const writer = Child.start(program.file, [database.folder!]);
    await writer.message();
    const { lockFolder } = await import('../../lib/typeorm/pglite/lock-file.js');
    await expect(lockFolder(database.folder!, { waitMs: 0 })).rejects.toMatchObject({
      code: 'WF_DATABASE_IN_USE',
      message: expect.stringContaining(`Process ${writer.process.pid} uses`),
    });
    await writer.kill();
  });
});
