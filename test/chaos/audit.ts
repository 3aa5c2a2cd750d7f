import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import pg from 'pg';
import type { StepContext } from 'nestjs-workflow';
import { randomUUID } from 'node:crypto';

export const AUDIT_URL = Symbol('AUDIT_URL');

/**
 * Each execution of a step, written before the step does anything, beside the journal: on a connection of its own, which nobody
 * cuts but a restart of PostgreSQL, and again until it is there.
 */
@Injectable()
export class AuditLog {
  readonly #pool: pg.Pool;

  constructor(@Inject(AUDIT_URL) url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 4, application_name: 'chaos-audit' });
    this.#pool.on('error', () => undefined);
  }

  async executed({ idempotencyKey, attempt }: StepContext): Promise<void> {
    // the moment it has begun, not the moment at which the database takes it in
    const startedAt = Date.now();
    const [runId, execution, ...key] = idempotencyKey.split('/');
    const values = [randomUUID(), runId, execution, key.join('/'), attempt, process.pid, startedAt];
    const text = `insert into chaos.execution (id, run_id, execution, key, attempt, pid, started_at)
      values ($1, $2, $3, $4, $5, $6, to_timestamp($7::float8 / 1000)) on conflict do nothing`;
    // without a name: it may stand behind a transaction pooler
    await insisting(() => this.#pool.query(text, values));
  }
}

/** Until it succeeds: for statements that may be sent twice, while the database may be away. */
export async function insisting<T>(work: () => Promise<T>, forMs = 60_000): Promise<T> {
  const until = Date.now() + forMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > until) throw error;
      await pause(50);
    }
  }
}

/**
 * What the database itself sees: triggers write a line, in the transaction of the change, each time that a step is answered or
 * journaled, a run is inserted or ended, and a lease is given back by its holder. Who writes twice leaves two lines.
 */
export const AUDIT_TABLES = [
  `create schema chaos`,
  `create table chaos.execution (id uuid primary key, run_id text not null, execution bigint not null, key text not null,
     attempt int not null, pid int not null, started_at timestamptz not null)`,
  `create table chaos.history (id bigserial primary key, at timestamptz not null default clock_timestamp(), what text not null,
     execution bigint not null, key text not null, detail text not null)`,
  `create function chaos.on_step() returns trigger language plpgsql as $$
   begin
     if tg_op <> 'INSERT' and old.state = 'journaled' then
       insert into chaos.history (what, execution, key, detail) values ('rewritten', old.execution, old.key, tg_op);
     elsif new.state in ('answered', 'journaled') then
       insert into chaos.history (what, execution, key, detail)
       values (new.state, new.execution, new.key, new.kind || ' ' || md5(coalesce(new.value, '') || '|' || coalesce(new.failure, '')));
     end if;
     return null;
   end $$`,
  `create trigger chaos_step after insert or update or delete on workflow_step for each row execute function chaos.on_step()`,
  `create function chaos.on_run() returns trigger language plpgsql as $$
   begin
     if tg_op = 'INSERT' then
       insert into chaos.history (what, execution, key, detail)
       values ('started', new.id, coalesce(new.parent_id || '/' || new.parent_key, ''), new.run_id);
     elsif old.status <> 'active' or new.status <> 'active' then
       if (old.status, old.result, old.error) is distinct from (new.status, new.result, new.error) then
         insert into chaos.history (what, execution, key, detail)
         values ('ended', new.id, '', new.status || ' ' || md5(coalesce(new.result, '') || '|' || coalesce(new.error, '')));
       end if;
     end if;
     return null;
   end $$`,
  `create trigger chaos_run after insert or update on workflow_run for each row execute function chaos.on_run()`,
  `create function chaos.on_task() returns trigger language plpgsql as $$
   begin
     insert into chaos.history (what, execution, key, detail) values ('given back', new.execution, new.step_key, '');
     return null;
   end $$`,
  `create trigger chaos_task after update on workflow_task for each row
   when (old.lease_owner is not null and new.lease_owner is null and old.fence = new.fence)
   execute function chaos.on_task()`,
] as const;
