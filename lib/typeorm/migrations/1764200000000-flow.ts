import type { MigrationInterface, QueryRunner } from 'typeorm';
import { tablesOf } from '../tables.js';
import { schemaOf } from './schema-of.js';

/**
 * Flow control, priorities and singletons. A task with a flow key stands in the line of that key, and not in the queue of its
 * workflow. `workflow_flow_control` is written by claims (and by pause and resume); all else leaves a row in
 * `workflow_flow_note`, which nobody ever waits for.
 */
export class WorkflowFlow1764200000000 implements MigrationInterface {
  readonly name = 'WorkflowFlow1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    const index = indexIn(schemaOf(runner));
    await runner.query(`
      create table ${t.flow} (
        key text not null,
        workflow text not null,
        parallelism integer,
        rate integer,
        period_ms integer,
        paused boolean not null,
        is_full boolean not null,
        head_at timestamptz not null,
        blocked_until timestamptz not null,
        served_at timestamptz not null,
        ready_at timestamptz not null,
        window_ends timestamptz[] not null,
        window_counts integer[] not null,
        constraint workflow_flow_control_pk primary key (key),
        constraint workflow_flow_control_rate_has_period check ((rate is null) = (period_ms is null))
      ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)`);
    await runner.query(
      `create index workflow_flow_control_ready on ${t.flow} (workflow, ready_at) where not paused and not is_full`,
    );
    await runner.query(
      `create index workflow_flow_control_idle on ${t.flow} (served_at) where head_at = 'infinity'`,
    );
    await runner.query(`
      create table ${t.flowNote} (
        id bigint generated always as identity,
        flow_key text not null,
        workflow text not null,
        due_at timestamptz not null,
        noted_at timestamptz not null,
        frees boolean not null,
        parallelism integer,
        rate integer,
        period_ms integer,
        constraint workflow_flow_note_pk primary key (noted_at, id)
      ) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)`);

    await runner.query(`drop index ${index('workflow_task_due')}`);
    await runner.query(
      `create index workflow_task_due on ${t.task} (workflow, priority, due_at) where lease_owner is null and flow_key is null`,
    );
    await runner.query(
      `create index workflow_task_line on ${t.task} (flow_key, workflow, priority, due_at) where lease_owner is null and flow_key is not null`,
    );
    await runner.query(
      `create index workflow_task_slots on ${t.task} (flow_key) where lease_owner is not null and flow_key is not null`,
    );

    await runner.query(`
      alter table ${t.run}
        add column priority smallint not null default 0,
        add column flow_key text,
        add column singleton_key text,
        add column singleton_held boolean not null default false`);
    await runner.query(
      `create unique index workflow_run_singleton on ${t.run} (singleton_key) where status = 'active' and singleton_held`,
    );
    await runner.query(
      `create index workflow_run_singleton_line on ${t.run} (singleton_key, id) where status = 'active' and singleton_key is not null and not singleton_held`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    const index = indexIn(schemaOf(runner));
    for (const name of ['run_singleton_line', 'run_singleton', 'task_slots', 'task_line', 'task_due'])
      await runner.query(`drop index ${index(`workflow_${name}`)}`);
    await runner.query(
      `create index workflow_task_due on ${t.task} (workflow, priority, due_at) where lease_owner is null`,
    );
    await runner.query(`
      alter table ${t.run}
        drop column priority, drop column flow_key, drop column singleton_key, drop column singleton_held`);
    for (const table of [t.flowNote, t.flow]) await runner.query(`drop table ${table}`);
  }
}

const indexIn =
  (schema: string | undefined) =>
  (name: string): string =>
    schema === undefined ? name : `"${schema}".${name}`;
