/**
 * Cases that each file makes in CI. A file that makes fewer fails (see `Cases`), so their sum is the number of cases that ran:
 * `total.spec.ts` holds it above what was promised.
 */
export const SHARES = {
  callbacks: 30_000,
  deliveries: 4_000,
  webhooks: 16_000,
  client: 24_000,
  options: 18_000,
  calls: 2_000,
  values: 8_000,
  applications: 1_700,
} as const;

export type Share = keyof typeof SHARES;
