import { Injectable } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Step, Workflow, WorkflowClient, WorkflowContext } from 'nestjs-workflow';
import { RunStore } from '../../lib/ports/index.js';
import { DATABASES, type TestDatabase } from '../support/databases.js';
import { boot, type Instance, until } from './support.js';

@Injectable()
class Door {
  open!: () => void;
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve));
  @Step() async pass(): Promise<string> {
    await this.#opened;
    return 'passed';
  }
}

@Workflow({ name: 'passes' })
class Passes {
  constructor(readonly door: Door) {}
  run(_ctx: WorkflowContext<void>): Promise<string> {
    return this.door.pass();
  }
}

/** No poll and no beat helps: what is not announced, and heard, is not found. */
const DEAF = { concurrency: 1, pollInterval: '1h', heartbeat: '1h', leaseTimeout: '3h' } as const;

describe.each(DATABASES)('a process with no place free, on $name', ({ name, create }) => {
  let db: TestDatabase;
  let instance: Instance;
  beforeEach(async () => {
    db = await create();
  });
  afterEach(async () => {
    instance?.get(Door).open();
    await instance?.app.close();
    await db?.dispose();
  });

  it.each(['in-process', 'http'] as const)(
    'takes what was announced meanwhile as soon as it has one (%s)',
    async (transport) => {
      instance = await boot(db, { providers: [Door, Passes], transport, worker: DEAF });
      const client = instance.get(WorkflowClient);
      const claim = vi.spyOn(instance.get<RunStore>(RunStore as never), 'claim');
      const first = await client.trigger(Passes, undefined, { runId: 'first' });
      const second = await client.trigger(Passes, undefined, { runId: 'second' });
      // it looked for calls alone, as there is a place for these
      await until(() =>
        claim.mock.calls.some(
          ([, , limit], i) => limit === 0 && claim.mock.settledResults[i]?.type === 'fulfilled',
        ),
      );
      instance.get(Door).open();
      expect(await Promise.all([first.result(), second.result()])).toEqual(['passed', 'passed']);
    },
  );

  // the PGlite of the tests is in memory, and gone with its process
  it.skipIf(name === 'pglite').each(['in-process', 'http'] as const)(
    'goes on with what has waited for long (%s)',
    async (transport) => {
      const ids = Array.from({ length: 7 }, (_, n) => `old ${n}`);
      const before = await boot(db, { providers: [Door, Passes], transport, worker: false });
      await Promise.all(ids.map((runId) => before.get(WorkflowClient).trigger(Passes, undefined, { runId })));
      await before.rows(`update workflow_task set due_at = due_at - interval '1 minute'`);
      await before.app.close();
      instance = await boot(db, {
        providers: [Door, Passes],
        transport,
        worker: { ...DEAF, concurrency: 2 },
      });
      instance.get(Door).open();
      const client = instance.get(WorkflowClient);
      const results = await Promise.all(ids.map((runId) => client.run(Passes, runId).result()));
      expect(results).toEqual(ids.map(() => 'passed'));
    },
  );
});
