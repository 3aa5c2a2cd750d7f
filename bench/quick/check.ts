/** One number that has to be right, whatever the machine is. */
export interface Check {
  readonly of: string;
  readonly what: string;
  readonly counted: number | undefined;
  /** exactly that, or not above it */
  readonly bound: { readonly exactly: number } | { readonly atMost: number };
}

export const exactly = (of: string, what: string, counted: unknown, n: number): Check => ({
  of,
  what,
  counted: numberOf(counted),
  bound: { exactly: n },
});

export const atMost = (of: string, what: string, counted: unknown, n: number): Check => ({
  of,
  what,
  counted: numberOf(counted),
  bound: { atMost: n },
});

/** What was not counted is not right. */
export function isRight({ counted, bound }: Check): boolean {
  if (counted === undefined) return false;
  return 'exactly' in bound ? counted === bound.exactly : counted <= bound.atMost;
}

export const boundText = ({ bound }: Check): string =>
  'exactly' in bound ? `= ${bound.exactly}` : `≤ ${bound.atMost}`;

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;
