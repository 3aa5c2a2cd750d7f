import type { Tables } from '../tables.js';

/**
 * What changes for a flow-control key is noted in the commit that changes it: a task waits, or a lease has come back. Notes are
 * inserted and never updated, so nobody waits for anybody, in no order: not for the transaction of a caller that triggers and
 * stays open, nor for those who end tasks of the same key. The next claim merges them (see flow.ts). What a claim has not
 * seen in its snapshot has not been merged before it either: the note becomes visible with the change.
 */

/** Rows of an update (`returning` these columns) whose task waits now, and held a lease before, perhaps. */
export const GAVE_BACK = (rows: string): string =>
  `select flow_key, workflow, due_at, true as frees from ${rows} where lease_owner is null`;

/** Rows of an insert or an update whose task waits, and held no lease before. */
export const WAITS = (rows: string): string =>
  `select flow_key, workflow, due_at, false as frees from ${rows} where lease_owner is null`;

/** Rows of a delete. */
export const GONE = (rows: string): string =>
  `select flow_key, workflow, 'infinity'::timestamptz as due_at, true as frees from ${rows} where lease_owner is not null`;

/** What `returning` has to give for the parts above. */
export const FLOW_COLUMNS = 'k.flow_key, k.workflow, k.due_at, k.lease_owner';

/** The part of a statement that notes all this; without flow keys it inserts nothing. */
export const NOTED = (t: Tables, ...parts: string[]): string => `
noted as (
  insert into ${t.flowNote} (flow_key, workflow, due_at, noted_at, frees)
  select n.flow_key, n.workflow, min(n.due_at), min(c.now), bool_or(n.frees)
  from (
    ${parts.join('\n    union all ')}
  ) n, clock c
  where n.flow_key is not null
  group by n.flow_key, n.workflow
)`;
