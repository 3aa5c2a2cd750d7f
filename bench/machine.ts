/** What the machine says of itself: CPU and memory of processes (Linux, /proc), and how busy all of it is. */
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, totalmem, type CpuInfo } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

const TICKS_PER_SECOND = 100;
const TMPFS = 0x01021994;
export const CORES = cpus().length;

/** CLOCK_MONOTONIC in ns; the same for all processes of the machine. */
export const now = (): number => Number(process.hrtime.bigint());
export const msSince = (ns: number): number => (now() - ns) / 1e6;

interface ProcessTimes {
  /** CPU seconds of all its threads */
  readonly own: number;
  /** of its children that have ended */
  readonly reaped: number;
  readonly parent: number;
}

/** All zero for a process that is gone, and where there is no /proc. */
function timesOf(pid: number | string): ProcessTimes {
  const text = textOf(`/proc/${pid}/stat`);
  // the name of the program stands in brackets and may have any character in it
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const seconds = (...at: number[]): number =>
    at.reduce((sum, i) => sum + Number(fields[i] ?? 0), 0) / TICKS_PER_SECOND;
  return { own: seconds(11, 12), reaped: seconds(13, 14), parent: Number(fields[1] ?? 0) };
}

export const cpuOf = (pid: number): number => timesOf(pid).own;

/** CPU seconds of a PostgreSQL: its main process, those it has started, and those of them that have ended. */
export function cpuOfCluster(postmaster: number): number {
  const main = timesOf(postmaster);
  let sum = main.own + main.reaped;
  for (const pid of pids()) {
    const child = timesOf(pid);
    if (child.parent === postmaster) sum += child.own;
  }
  return sum;
}

/** CPU seconds of everything on this machine since it was started. */
export function cpuOfMachine(): number {
  const [, ...fields] = textOf('/proc/stat').split('\n', 1)[0]!.trim().split(/\s+/);
  // user, nice, system, irq, softirq
  return [0, 1, 2, 5, 6].reduce((sum, i) => sum + Number(fields[i] ?? 0), 0) / TICKS_PER_SECOND;
}

/** Resident memory in MiB. */
export function rssOf(pid: number): number | undefined {
  const match = /VmRSS:\s+(\d+)/.exec(textOf(`/proc/${pid}/status`));
  return match ? Math.round(Number(match[1]) / 102.4) / 10 : undefined;
}

/** Waits until others use less than 8 % of the machine for a second; false when that did not come in time. */
export async function quiet(limitMs: number): Promise<boolean> {
  const begun = now();
  for (;;) {
    const [busy, at] = [cpuOfMachine(), now()];
    await pause(1000);
    if ((100 * (cpuOfMachine() - busy)) / CORES / (msSince(at) / 1000) < 8) return true;
    if (msSince(begun) > limitMs) return false;
  }
}

export const isInMemory = (folder: string): boolean => statfsSync(folder).type === TMPFS;

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
}

export function machine(): Machine {
  const [first] = cpus() as [CpuInfo | undefined];
  return {
    cores: CORES,
    cpu: first?.model.trim() ?? 'unknown',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function pids(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
