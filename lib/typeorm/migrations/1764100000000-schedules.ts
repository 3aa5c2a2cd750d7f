import type { MigrationInterface, QueryRunner } from 'typeorm';
import { tablesOf } from '../tables.js';
import { schemaOf } from './schema-of.js';

/** Runs that are started by time. */
export class WorkflowSchedules1764100000000 implements MigrationInterface {
  readonly name = 'WorkflowSchedules1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    const { schedule } = tablesOf(schemaOf(runner));
    await runner.query(`
      create table ${schedule} (
        id text not null,
        workflow text not null,
        cron text,
        every_ms bigint,
        timezone text not null,
        overlap text not null,
        catch_up text not null,
        payload text,
        labels text[] not null default '{}',
        source text not null,
        paused boolean not null default false,
        revision integer not null default 1,
        next_at timestamptz,
        last_at timestamptz,
        last_run_id text,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        constraint workflow_schedule_pk primary key (id),
        constraint workflow_schedule_cron_or_every check (num_nonnulls(cron, every_ms) = 1),
        constraint workflow_schedule_overlap_known check (overlap in ('allow', 'skip', 'queue', 'cancel-previous')),
        constraint workflow_schedule_catch_up_known check (catch_up in ('skip', 'last', 'all')),
        constraint workflow_schedule_source_known check (source in ('code', 'client'))
      )`);
    await runner.query(
      `create index workflow_schedule_due on ${schedule} (workflow, next_at) where not paused and next_at is not null`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`drop table ${tablesOf(schemaOf(runner)).schedule}`);
  }
}
