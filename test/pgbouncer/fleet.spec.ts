import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { AUDIT_TABLES } from '../chaos/audit.js';
import { startCallServer } from '../chaos/call-server.js';
import { Console } from '../chaos/chaos-database.js';
import { collect } from '../chaos/collect.js';
import { Driver } from '../chaos/driver.js';
import type { Kill } from '../chaos/evidence.js';
import { Place } from '../chaos/fleet.js';
import { KINDS, makeJob } from '../chaos/jobs.js';
import { judge } from '../chaos/judge.js';
import { bundle } from '../support/child.js';
import { behindEach, createPooled } from './support.js';

// processes boot one after the other
vi.setConfig({ testTimeout: 180_000 });

/** Of each kind some; among them runs in lines of flow control and runs that wait for their singleton key. */
const RUNS = 4 * KINDS.length;

let program: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => {
  program = await bundle('test/chaos/worker.ts');
});
afterAll(() => program?.remove());

behindEach('a fleet', (pooler) => {
  it('steps, sleeps, events, calls, children, lines and singletons end right although a process is killed', async () => {
    const closing: (() => unknown)[] = [];
    try {
      const folder = mkdtempSync(join(tmpdir(), 'workflow-pooled-'));
      closing.push(() => rmSync(folder, { recursive: true, force: true }));
      const database = await createPooled(pooler());
      closing.push(() => database.dispose());
      const { url } = database;
      const console = new Console(database.direct);
      closing.push(() => console.close());
      for (const statement of AUDIT_TABLES) await console.rows(statement, [], 0);
      const server = await startCallServer(7);
      closing.push(() => server.close());
      // what one has begun the other goes on with, by its own way
      const places = (['http', 'in-process'] as const).map(
        (transport) => new Place(program.file, { url, transport, name: transport }, folder),
      );
      closing.push(() => Promise.all(places.map((place) => place.stop())));
      const driver = await Driver.start(url, places);
      closing.push(() => driver.stop());
      for (const place of places) place.start();
      while (!places.every(({ serves }) => serves)) await pause(20);

      for (let n = 0; n < RUNS; n++) driver.submit(makeJob(n, server.url));
      const kills: Kill[] = [];
      const pid = places[0]!.pid!;
      const ofIt = `from workflow_task k join workflow_worker w on w.id = k.lease_owner where w.pid = ${pid}`;
      // in the middle of work
      while ((await console.rows(`select 1 ${ofIt}`)).length === 0) await pause(5);
      await places[0]!.kill();
      const held = await console.rows<{ execution: string }>(`select distinct k.execution::text ${ofIt}`);
      kills.push({ at: Date.now(), held: held.map(({ execution }) => execution) });
      places[0]!.start();

      await driver.idle();
      // also what is owed after their ends, which another statement pays
      const active = `select 1 from workflow_run where status = 'active' or unreported or uncascaded`;
      while ((await console.rows(active)).length > 0) await pause(100);
      await Promise.all(places.map((place) => place.stop()));
      const verdict = judge(await collect(console, driver, kills));
      expect(verdict.problems).toEqual([]);
      expect(verdict.completed).toBe(RUNS);
      expect(driver.refusals).toEqual([]);
      expect(places.flatMap(({ crashes }) => crashes)).toEqual([]);
    } finally {
      for (const close of closing.toReversed()) await close();
    }
  });
});
