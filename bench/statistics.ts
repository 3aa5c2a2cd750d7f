/** The numbers a workload gives: percentiles of a run, medians over runs, ratios between peers. */

export interface Percentiles {
  readonly n: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest rank: each is a value that was really measured. Undefined for no values at all. */
export function percentiles(values: ArrayLike<number>): Percentiles | undefined {
  const n = values.length;
  if (n === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  const at = (p: number): number => round(sorted[Math.max(0, Math.ceil((p / 100) * n) - 1)]!);
  let sum = 0;
  for (const value of sorted) sum += value;
  return { n, mean: round(sum / n), p50: at(50), p90: at(90), p99: at(99), max: at(100) };
}

/** Of what is a number; the mean of the two in the middle when they are even in number. */
export function median(values: readonly unknown[]): number | undefined {
  const sorted = values.filter((value): value is number => Number.isFinite(value)).toSorted((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : round((sorted[middle - 1]! + sorted[middle]!) / 2);
}

/** How many times better `ours` is than `theirs`. */
export function ratio(
  ours: number | undefined,
  theirs: number | undefined,
  better: 'higher' | 'lower',
): number | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const [above, below] = better === 'higher' ? [ours, theirs] : [theirs, ours];
  return below > 0 ? round(above / below) : undefined;
}

/** To five digits: more is noise in every number here. */
export const round = (value: number): number => Number(value.toPrecision(5));
