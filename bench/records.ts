/** What is kept of each run, and what is made of several of them. */
import { median } from './statistics.js';

export interface RunRecord {
  readonly peer: string;
  readonly version: string;
  readonly mode: string;
  readonly work: string;
  readonly run: number;
  readonly error?: string;
  /** of the machine, by processes that are not the benchmark's */
  readonly foreignPct?: number;
  readonly complete?: boolean;
  /** it was disturbed, and made again */
  readonly discarded?: boolean;
  /** that gave it, and the commit of the project */
  readonly command?: string;
  readonly commit?: string;
  readonly [name: string]: unknown;
}

/** The runs of one peer in one mode. */
export interface Row {
  readonly peer: string;
  readonly mode: string;
  /** as many as were taken for the medians */
  readonly used: number;
  readonly clean: number;
  readonly all: number;
  readonly errors: number;
  readonly isComplete: boolean;
  /** median of a number, by where it stands in a record */
  value(path: string): number | undefined;
}

/** A run is clean when others used no more of the machine than that. */
const CLEAN_PCT = 12;

/** Of the runs without error those that were clean, and all of them when none was. */
export function rowsOf(records: readonly RunRecord[], work: string): Row[] {
  const groups = new Map<string, RunRecord[]>();
  for (const record of records) {
    if (record.work !== work) continue;
    const key = `${record.peer} ${record.mode}`;
    groups.set(key, [...(groups.get(key) ?? []), record]);
  }
  return [...groups.values()].map((group) => {
    const good = group.filter(({ error }) => error === undefined);
    const clean = good.filter(({ foreignPct = 0 }) => foreignPct <= CLEAN_PCT);
    const used = clean.length > 0 ? clean : good;
    const { peer, mode } = group[0]!;
    return {
      peer,
      mode,
      used: used.length,
      clean: clean.length,
      all: good.length,
      errors: group.length - good.length,
      isComplete: used.every(({ complete }) => complete !== false),
      value: (path) => median(used.map((record) => valueAt(record, path))),
    };
  });
}

export const valueAt = (record: object, path: string): unknown =>
  path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], record);

/** Those of before that were not measured again. */
export const merged = (before: readonly RunRecord[], now: readonly RunRecord[]): RunRecord[] => {
  const keyOf = ({ peer, mode, work }: RunRecord): string => `${peer} ${mode} ${work}`;
  const again = new Set(now.map(keyOf));
  return [...before.filter((record) => !again.has(keyOf(record))), ...now];
};
