import type { MigrationInterface, QueryRunner } from 'typeorm';
import { tablesOf } from '../tables.js';
import { schemaOf } from './schema-of.js';

/**
 * The core tables. The journal (`workflow_step`) holds facts; `workflow_task` holds the future.
 * No foreign keys on the hot tables; invariants are named CHECK constraints.
 */
export class WorkflowCore1763856000000 implements MigrationInterface {
  readonly name = 'WorkflowCore1763856000000';

  async up(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    await runner.query(`
      create table ${t.run} (
        id bigint generated always as identity,
        run_id text not null,
        is_current boolean not null default true,
        workflow text not null,
        version text,
        status text not null default 'active',
        payload text not null,
        result text,
        error text,
        labels text[] not null default '{}',
        attempt integer not null default 1,
        parent_id bigint,
        parent_key text,
        trigger_id uuid not null,
        ended_fence integer,
        deadline_at timestamptz,
        created_at timestamptz not null,
        finished_at timestamptz,
        constraint workflow_run_pk primary key (id),
        constraint workflow_run_status_known check (status in ('active', 'completed', 'failed', 'cancelled')),
        constraint workflow_run_end_has_time check ((status = 'active') = (finished_at is null)),
        constraint workflow_run_error_of_failed check ((error is not null) = (status = 'failed')),
        constraint workflow_run_result_of_completed check ((result is not null) = (status = 'completed'))
      )`);
    await runner.query(`create unique index workflow_run_current on ${t.run} (run_id) where is_current`);
    await runner.query(`create index workflow_run_by_workflow on ${t.run} (workflow, id)`);
    await runner.query(
      `create index workflow_run_by_label on ${t.run} using gin (labels) where labels <> '{}'`,
    );

    await runner.query(`
      create table ${t.step} (
        execution bigint not null,
        position integer,
        attempts integer not null default 0,
        asked_at timestamptz not null,
        finished_at timestamptz,
        wake_at timestamptz,
        event_id uuid,
        dispatched boolean not null default false,
        key text not null,
        name text not null,
        kind text not null,
        state text not null,
        digest text,
        event text,
        value text,
        failure text,
        constraint workflow_step_pk primary key (execution, key),
        constraint workflow_step_state_known check (state in ('pending', 'answered', 'journaled')),
        constraint workflow_step_journaled_has_position check ((state = 'journaled') = (position is not null)),
        constraint workflow_step_one_answer check (state = 'pending' or num_nonnulls(value, failure) = 1)
      )`);
    await runner.query(
      `create index workflow_step_waiting on ${t.step} (event) where state = 'pending' and event is not null`,
    );

    await runner.query(`
      create table ${t.task} (
        id bigint generated always as identity,
        execution bigint not null,
        due_at timestamptz not null,
        lease_owner uuid,
        fence integer not null default 0,
        turn integer not null default 0,
        wanted integer not null default 0,
        lost integer not null default 0,
        lost_position integer not null default 0,
        gather smallint not null default 0,
        priority smallint not null default 0,
        kind text not null,
        workflow text not null,
        step_key text not null default '',
        flow_key text,
        stuck text,
        constraint workflow_task_pk primary key (id),
        constraint workflow_task_kind_known check (kind in ('advance', 'step', 'call')),
        constraint workflow_task_advance_has_no_key check ((kind = 'advance') = (step_key = ''))
      ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)`);
    await runner.query(`create unique index workflow_task_of_run on ${t.task} (execution, step_key)`);
    await runner.query(
      `create index workflow_task_due on ${t.task} (workflow, priority, due_at) where lease_owner is null`,
    );
    await runner.query(
      `create index workflow_task_leased on ${t.task} (lease_owner) where lease_owner is not null`,
    );

    await runner.query(`
      create table ${t.message} (
        id uuid not null,
        execution bigint,
        kind text not null default 'event',
        event text not null,
        event_id uuid not null,
        key text,
        data text not null,
        created_at timestamptz not null,
        expires_at timestamptz,
        constraint workflow_message_pk primary key (id),
        constraint workflow_message_kept_expires check (execution is not null or expires_at is not null)
      )`);
    await runner.query(
      `create index workflow_message_inbox on ${t.message} (execution) where execution is not null`,
    );
    await runner.query(
      `create index workflow_message_kept on ${t.message} (event, expires_at) where execution is null`,
    );

    await runner.query(`
      create table ${t.worker} (
        id uuid not null,
        host text not null,
        pid integer not null,
        started_at timestamptz not null default now(),
        beat_at timestamptz not null default now(),
        constraint workflow_worker_pk primary key (id)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    for (const table of [t.worker, t.message, t.task, t.step, t.run])
      await runner.query(`drop table ${table}`);
  }
}
