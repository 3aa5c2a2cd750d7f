import { randomUUID } from 'node:crypto';
import {
  copyFileSync,
  constants,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkflowError } from '../../errors/index.js';
import { isAlive, placeOf, type ProcessPlace, startTimeOf } from './process-identity.js';

/** What a lock file holds, as JSON. */
export interface LockHolder extends ProcessPlace {
  readonly pid: number;
  /** start time of the process, by which a reused pid is known; undefined where the system does not tell */
  readonly startTime: string | undefined;
  readonly token: string;
}

export interface LockOptions {
  /** how long a live holder is waited for @default 10000 */
  waitMs?: number;
  /** how long a holder whose process cannot be seen from here must have shown no sign of life @default 6000 */
  silenceMs?: number;
}

const BEAT_MS = 1000;
const PREFIX = 'lock.';

/**
 * Makes this process the only user of an embedded folder; PGlite itself lets two in, and the data suffers.
 *
 * The holder is whoever owns the file `lock.<n>` with the highest n. Nobody deletes the highest one: taking over and taking
 * a freed lock both create `lock.<n+1>`, which the file system grants to one process only. So two processes that see the
 * same dead holder can never both win, nor can one delete the lock that the other has just taken.
 *
 * @returns frees the lock; idempotent
 * @throws WorkflowError WF_DATABASE_IN_USE naming pid and folder, when a live holder keeps it
 */
export async function lockFolder(folder: string, options: LockOptions = {}): Promise<() => void> {
  const { waitMs = 10_000, silenceMs = 6000 } = options;
  mkdirSync(folder, { recursive: true });
  const me: LockHolder = {
    pid: process.pid,
    startTime: startTimeOf(process.pid),
    ...placeOf(),
    token: randomUUID(),
  };
  const deadline = performance.now() + waitMs;
  const watch = new SignsOfLife();
  for (;;) {
    const top = highest(folder);
    const holder = top === 0 ? undefined : readHolder(join(folder, PREFIX + top));
    if (holder === undefined || isGone(holder, watch, silenceMs)) {
      const file = join(folder, PREFIX + (top + 1));
      if (!create(folder, file, me)) continue; // another process was faster: see who
      if (highest(folder) === top + 1) {
        for (const older of numbers(folder))
          if (older <= top) rmSync(join(folder, PREFIX + older), { force: true });
        return hold(file, me);
      }
      // what was read is outdated: others have taken, freed and taken again meanwhile
      rmSync(file, { force: true });
    } else if (performance.now() >= deadline) {
      throw new WorkflowError(
        'WF_DATABASE_IN_USE',
        `Process ${describe(holder)} uses the embedded database in ${folder}`,
      );
    } else {
      await delay(Math.min(50, waitMs));
    }
  }
}

interface Seen {
  /** undefined: the file is there, but does not (yet) say whose it is */
  readonly holder: LockHolder | undefined;
  readonly beat: number;
  readonly file: string;
}

function isGone({ holder, beat, file }: Seen, watch: SignsOfLife, silenceMs: number): boolean {
  if (holder) {
    const alive = isAlive(holder);
    if (alive !== undefined) return !alive;
  }
  // another machine or container, whose processes cannot be seen: it touches its file while it lives
  return watch.silentFor(`${file} ${holder?.token} ${beat}`) >= silenceMs;
}

/** Measures silence with the clock of this process; the clocks of two machines are never compared. */
class SignsOfLife {
  private last = '';
  private since = 0;
  silentFor(sign: string): number {
    if (sign !== this.last) {
      this.last = sign;
      this.since = performance.now();
    }
    return performance.now() - this.since;
  }
}

function describe({ holder }: Seen): string {
  if (!holder) return '(unknown)';
  return holder.host === placeOf().host ? String(holder.pid) : `${holder.pid} on ${holder.host}`;
}

function numbers(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^lock\.[0-9]+$/.test(name))
    .map((name) => Number(name.slice(PREFIX.length)));
}

const highest = (folder: string): number => Math.max(0, ...numbers(folder));

/** undefined: freed, or gone because a higher one exists by now */
function readHolder(file: string): Seen | undefined {
  try {
    const beat = statSync(file).mtimeMs;
    const text = readFileSync(file, 'utf8');
    if (text === FREED) return undefined;
    return { holder: parse(text), beat, file };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const FREED = 'free\n';

function parse(text: string): LockHolder | undefined {
  try {
    const value = JSON.parse(text) as LockHolder;
    return typeof value.pid === 'number' && typeof value.token === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Creates `file` with its content in one step; false when it exists. */
function create(folder: string, file: string, holder: LockHolder): boolean {
  const draft = join(folder, `draft.${holder.token}`);
  writeFileSync(draft, JSON.stringify(holder));
  try {
    try {
      linkSync(draft, file);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') throw error;
      copyFileSync(draft, file, constants.COPYFILE_EXCL); // file systems without hard links
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function hold(file: string, me: LockHolder): () => void {
  const beat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(file, now, now);
    } catch {
      // the folder was deleted under us; PGlite will say so
    }
  }, BEAT_MS);
  beat.unref();
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    clearInterval(beat);
    try {
      // freed, not deleted: the number must never be given twice
      if (parse(readFileSync(file, 'utf8'))?.token === me.token) writeFileSync(file, FREED);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  };
}
