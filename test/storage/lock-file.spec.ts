import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LockHolder, lockFolder } from '../../lib/typeorm/pglite/lock-file.js';
import { placeOf, startTimeOf } from '../../lib/typeorm/pglite/process-identity.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'workflow-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const holder = (over: Partial<LockHolder> = {}): LockHolder => ({
  pid: process.pid,
  startTime: startTimeOf(process.pid),
  ...placeOf(),
  token: 'another',
  ...over,
});
const write = (value: LockHolder, n = 1): void =>
  writeFileSync(join(folder, `lock.${n}`), JSON.stringify(value));
const locks = (): string[] => readdirSync(folder).toSorted();

/** A process that lives until it is killed. */
async function stranger(): Promise<{ pid: number; kill(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  return {
    pid: child.pid!,
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

describe('the lock of an embedded folder', () => {
  it('is taken, refused to a second open in this process, and free again after release', async () => {
    const release = await lockFolder(folder);
    const second = lockFolder(folder, { waitMs: 0 });
    await expect(second).rejects.toMatchObject({
      code: 'WF_DATABASE_IN_USE',
      message: `Process ${process.pid} uses the embedded database in ${folder}. Stop the other process, or use PostgreSQL: an embedded folder serves one process. [WF_DATABASE_IN_USE]`,
    });
    release();
    release(); // idempotent
    (await lockFolder(folder, { waitMs: 0 }))();
  });

  it('does not free the lock of the next holder when it is released twice', async () => {
    const first = await lockFolder(folder);
    first();
    const second = await lockFolder(folder);
    first();
    await expect(lockFolder(folder, { waitMs: 0 })).rejects.toMatchObject({ code: 'WF_DATABASE_IN_USE' });
    second();
  });

  it('makes a missing folder', async () => {
    (await lockFolder(join(folder, 'a/b')))();
    expect(locks()).toEqual(['a']);
  });

  it('waits for a live process, and goes on as soon as that has been killed', async () => {
    const other = await stranger();
    write(holder({ pid: other.pid, startTime: startTimeOf(other.pid) }));
    await expect(lockFolder(folder, { waitMs: 0 })).rejects.toMatchObject({
      code: 'WF_DATABASE_IN_USE',
      message: expect.stringContaining(`Process ${other.pid} uses the embedded database in ${folder}`),
    });
    const waiting = lockFolder(folder);
    await other.kill();
    (await waiting)();
    expect(locks()).toEqual(['lock.2']);
  });

  it('is taken over at once from a process that is dead', async () => {
    const other = await stranger();
    const startTime = startTimeOf(other.pid);
    await other.kill();
    write(holder({ pid: other.pid, startTime }));
    const release = await lockFolder(folder, { waitMs: 0 });
    expect(locks()).toEqual(['lock.2']);
    release();
  });

  it.runIf(startTimeOf(process.pid))(
    'is taken over when the pid now belongs to a younger process',
    async () => {
      write(holder({ startTime: '1' }));
      const release = await lockFolder(folder, { waitMs: 0 });
      expect(locks()).toEqual(['lock.2']);
      release();
    },
  );

  it.runIf(placeOf().boot)('is taken over when the machine was started again since', async () => {
    write(holder({ boot: 'an earlier one' }));
    const release = await lockFolder(folder, { waitMs: 0 });
    expect(locks()).toEqual(['lock.2']);
    release();
  });

  it('is taken over from another host that shows no sign of life', async () => {
    write(holder({ host: 'gone' }));
    const release = await lockFolder(folder, { silenceMs: 0 });
    expect(locks()).toEqual(['lock.2']);
    release();
  });

  it('is respected while another host touches it', async () => {
    write(holder({ host: 'elsewhere', pid: 7 }));
    let at = 1000;
    const alive = setInterval(() => utimesSync(join(folder, 'lock.1'), at, (at += 1)), 20);
    // each sign of life starts the silence anew, so however long this runs it can only end by the deadline
    await expect(lockFolder(folder, { waitMs: 400, silenceMs: 399 })).rejects.toMatchObject({
      code: 'WF_DATABASE_IN_USE',
      message: expect.stringContaining('Process 7 on elsewhere uses'),
    });
    clearInterval(alive);
  });

  it('survives a lock file that was written half', async () => {
    writeFileSync(join(folder, 'lock.1'), '{"pid": 12');
    await expect(lockFolder(folder, { waitMs: 0 })).rejects.toMatchObject({ code: 'WF_DATABASE_IN_USE' });
    (await lockFolder(folder, { silenceMs: 0 }))();
  });

  it('goes to one of many that find the same dead holder', async () => {
    write(holder({ startTime: '1', boot: 'an earlier one' }));
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, () => lockFolder(folder, { waitMs: 100 })),
    );
    const winners = all.filter((each) => each.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    expect(locks()).toEqual(['lock.2']);
    expect(JSON.parse(readFileSync(join(folder, 'lock.2'), 'utf8'))).toMatchObject({ pid: process.pid });
    winners[0]!.value();
  });
});
