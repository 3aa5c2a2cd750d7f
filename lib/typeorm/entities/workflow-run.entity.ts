import { Check, Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

export type WorkflowRunStatus = 'active' | 'completed' | 'failed' | 'cancelled' | 'continued';

/** Header of one execution; written at its start and at its end. Several executions may share a `runId`, one is current. */
@Entity(TABLE_NAMES.run)
@Check('workflow_run_status_known', `status in ('active', 'completed', 'failed', 'cancelled', 'continued')`)
@Check('workflow_run_end_has_time', `(status = 'active') = (finished_at is null)`)
@Check('workflow_run_error_of_failed', `(error is not null) = (status = 'failed')`)
@Check('workflow_run_result_of_completed', `(result is not null) = (status = 'completed')`)
@Index('workflow_run_current', ['runId'], { unique: true, where: 'is_current' })
@Index('workflow_run_by_workflow', ['workflow', 'id'])
@Index('workflow_run_children', ['parentId'], { where: `status = 'active' and parent_id is not null` })
@Index('workflow_run_unreported', ['id'], { where: 'unreported' })
@Index('workflow_run_uncascaded', ['id'], { where: 'uncascaded' })
@Index('workflow_run_singleton', ['singletonKey'], {
  unique: true,
  where: `status = 'active' and singleton_held`,
})
@Index('workflow_run_singleton_line', ['singletonKey', 'id'], {
  where: `status = 'active' and singleton_key is not null and not singleton_held`,
})
// a GIN index: TypeORM before 1.0 cannot say so, and would replace it by a btree
@Index('workflow_run_by_label', { synchronize: false })
export class WorkflowRun {
  /** bigint, as decimal digits */
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'workflow_run_pk',
  })
  id: string;

  @Column('text', { name: 'run_id' })
  runId: string;

  @Column('boolean', { name: 'is_current', default: true })
  isCurrent: boolean;

  @Column('text')
  workflow: string;

  @Column('text', { nullable: true })
  version: string | null;

  @Column('text', { default: 'active' })
  status: WorkflowRunStatus;

  /** encoded by the codec, like `result` */
  @Column('text')
  payload: string;

  @Column('text', { nullable: true })
  result: string | null;

  @Column('text', { nullable: true })
  error: string | null;

  @Column('text', { array: true, default: '{}' })
  labels: string[];

  @Column('integer', { default: 1 })
  attempt: number;

  @Column('bigint', { name: 'parent_id', nullable: true })
  parentId: string | null;

  @Column('text', { name: 'parent_key', nullable: true })
  parentKey: string | null;

  /** how many ancestors it has */
  @Column('smallint', { default: 0 })
  depth: number;

  /** it is cancelled with its parent */
  @Column('boolean', { default: true })
  cascades: boolean;

  /** how many compensations the code has registered, for when the run fails or is cancelled */
  @Column('integer', { default: 0 })
  rollbacks: number;

  /** it has ended, and its parent has not been told yet, or what came in that moment is still in its inbox */
  @Column('boolean', { default: false })
  unreported: boolean;

  /** it was cancelled, and its children have not been yet */
  @Column('boolean', { default: false })
  uncascaded: boolean;

  /** cancelled then, and still undoing what it did */
  @Column('timestamp with time zone', { name: 'cancelling_at', nullable: true })
  cancellingAt: Date | null;

  /** of its tasks; smaller first */
  @Column('smallint', { default: 0 })
  priority: number;

  /** of its tasks, but for steps that have one of their own */
  @Column('text', { name: 'flow_key', nullable: true })
  flowKey: string | null;

  @Column('text', { name: 'singleton_key', nullable: true })
  singletonKey: string | null;

  /** false: it waits until the run that holds its singleton key has ended */
  @Column('boolean', { name: 'singleton_held', default: false })
  singletonHeld: boolean;

  @Column('uuid', { name: 'trigger_id' })
  triggerId: string;

  /** fence under which the run ended: by it a repeated last write is known as our own */
  @Column('integer', { name: 'ended_fence', nullable: true })
  endedFence: number | null;

  @Column('timestamp with time zone', { name: 'deadline_at', nullable: true })
  deadlineAt: Date | null;

  @Column('timestamp with time zone', { name: 'created_at' })
  createdAt: Date;

  @Column('timestamp with time zone', { name: 'finished_at', nullable: true })
  finishedAt: Date | null;
}
