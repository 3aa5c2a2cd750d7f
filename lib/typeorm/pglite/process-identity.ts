import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** From where a pid means something: the same machine, since the same boot, in the same container. */
export interface ProcessPlace {
  readonly host: string;
  readonly boot: string | undefined;
  readonly pidNamespace: string | undefined;
}

export function placeOf(): ProcessPlace {
  return {
    host: hostname(),
    boot: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')),
  };
}

interface ProcessStat {
  readonly ended: boolean;
  readonly startTime: string | undefined;
}

function statOf(pid: number): ProcessStat | undefined {
  return attempt(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the second field is the command in parentheses and may hold anything, so count from its end
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // a zombie has ended, only its parent has not asked yet; to kill(pid, 0) it looks alive
    return { ended: fields[0] === 'Z' || fields[0] === 'X', startTime: fields[19] };
  });
}

/** Start of a process in clock ticks since boot (/proc/<pid>/stat), undefined where the system does not tell. */
export const startTimeOf = (pid: number): string | undefined => statOf(pid)?.startTime;

/** Whether that very process still runs; undefined when it cannot be seen from here. */
export function isAlive(
  process_: ProcessPlace & { readonly pid: number; readonly startTime: string | undefined },
): boolean | undefined {
  const here = placeOf();
  if (process_.host !== here.host || process_.pidNamespace !== here.pidNamespace) return undefined;
  if (process_.boot !== here.boot) return false;
  try {
    process.kill(process_.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const stat = statOf(process_.pid);
  if (!stat?.startTime || process_.startTime === undefined) return true;
  return !stat.ended && stat.startTime === process_.startTime;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
