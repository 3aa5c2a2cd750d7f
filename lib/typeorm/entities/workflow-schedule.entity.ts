import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

/** A schedule, and how far it has come. */
@Entity(TABLE_NAMES.schedule)
@Check('workflow_schedule_cron_or_every', 'num_nonnulls(cron, every_ms) = 1')
@Check('workflow_schedule_overlap_known', `overlap in ('allow', 'skip', 'queue', 'cancel-previous')`)
@Check('workflow_schedule_catch_up_known', `catch_up in ('skip', 'last', 'all')`)
@Check('workflow_schedule_source_known', `source in ('code', 'client')`)
@Index('workflow_schedule_due', ['workflow', 'nextAt'], { where: 'not paused and next_at is not null' })
export class WorkflowSchedule {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'workflow_schedule_pk' })
  id: string;

  @Column('text')
  workflow: string;

  @Column('text', { nullable: true })
  cron: string | null;

  /** bigint, as decimal digits */
  @Column('bigint', { name: 'every_ms', nullable: true })
  everyMs: string | null;

  @Column('text')
  timezone: string;

  @Column('text')
  overlap: string;

  @Column('text', { name: 'catch_up' })
  catchUp: string;

  /** encoded by the codec; null when the code makes one for each time */
  @Column('text', { nullable: true })
  payload: string | null;

  @Column('text', { array: true, default: '{}' })
  labels: string[];

  /** `code`: of a @Schedule */
  @Column('text')
  source: 'code' | 'client';

  @Column('boolean', { default: false })
  paused: boolean;

  /** grows with each change; whoever writes what it has decided compares it */
  @Column('integer', { default: 1 })
  revision: number;

  /** the earliest time that has not been decided on */
  @Column('timestamp with time zone', { name: 'next_at', nullable: true })
  nextAt: Date | null;

  /** the time that was started last, and its run */
  @Column('timestamp with time zone', { name: 'last_at', nullable: true })
  lastAt: Date | null;

  @Column('text', { name: 'last_run_id', nullable: true })
  lastRunId: string | null;

  @Column('timestamp with time zone', { name: 'created_at' })
  createdAt: Date;

  @Column('timestamp with time zone', { name: 'updated_at' })
  updatedAt: Date;
}
