import type { Fleet } from './support.js';

/** Losses of leases, and when each step was journaled, by the database's own clock, kept in tables beside ours. */
const STATEMENTS = [
  `create table audit_lost (task bigint, owner text)`,
  `create function audit_lost() returns trigger language plpgsql as $$
   begin
     insert into audit_lost values (new.id, old.lease_owner::text);
     return null;
   end $$`,
  `create trigger audit_lost after update on workflow_task for each row
   when (new.lost > old.lost) execute function audit_lost()`,
  `create table audit_journaled (run_id text, key text, at timestamptz)`,
  `create function audit_journaled() returns trigger language plpgsql as $$
   begin
     insert into audit_journaled
     select r.run_id, new.key, clock_timestamp() from workflow_run r where r.id = new.execution;
     return null;
   end $$`,
  `create trigger audit_journaled after insert or update on workflow_step for each row
   when (new.state = 'journaled' and new.kind = 'step') execute function audit_journaled()`,
];

export async function installAudit(fleet: Fleet): Promise<void> {
  for (const statement of STATEMENTS) await fleet.rows(statement);
}

/** Who has lost a lease by a sweep. */
export const losses = (fleet: Fleet): Promise<unknown[]> => fleet.rows('select * from audit_lost');

/** Executions that began after their step had been journaled. */
export async function tooLate(fleet: Fleet): Promise<string[]> {
  const rows = await fleet.rows<{ run_id: string; key: string; at: Date }>('select * from audit_journaled');
  const at = new Map(rows.map((row) => [`${row.run_id}/${row.key}`, row.at.getTime()]));
  return fleet.executions
    .map(({ runId, step, began }) => ({ name: `${runId}/${step}`, began }))
    .filter(({ name, began }) => began > (at.get(name) ?? Infinity) + 1)
    .map(({ name }) => name);
}

/** Steps that were journaled, and steps that were executed: how often each. */
export async function counts(fleet: Fleet): Promise<{ journaled: string[]; executed: string[] }> {
  const rows = await fleet.rows<{ name: string }>(
    `select run_id || '/' || key as name from audit_journaled order by 1`,
  );
  const executed = fleet.executions.map(({ runId, step }) => `${runId}/${step}`);
  return { journaled: rows.map(({ name }) => name).toSorted(byName), executed: executed.toSorted(byName) };
}

const byName = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
