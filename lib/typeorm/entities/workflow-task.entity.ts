import { Check, Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

export type WorkflowTaskKind = 'advance' | 'step' | 'call';

/** What is still to be done by a process: advance this run, execute this step, make this call. Deleted when it is done. */
@Entity(TABLE_NAMES.task)
@Check('workflow_task_kind_known', `kind in ('advance', 'step', 'call')`)
@Check('workflow_task_advance_has_no_key', `(kind = 'advance') = (step_key = '')`)
@Index('workflow_task_of_run', ['execution', 'stepKey'], { unique: true })
@Index('workflow_task_due', ['workflow', 'priority', 'dueAt'], {
  where: 'lease_owner is null and flow_key is null',
})
@Index('workflow_task_line', ['flowKey', 'workflow', 'priority', 'dueAt'], {
  where: 'lease_owner is null and flow_key is not null',
})
@Index('workflow_task_slots', ['flowKey'], { where: 'lease_owner is not null and flow_key is not null' })
@Index('workflow_task_stuck', ['execution'], { where: 'stuck is not null' })
@Index('workflow_task_leased', ['leaseOwner'], { where: 'lease_owner is not null' })
export class WorkflowTask {
  /** bigint, as decimal digits */
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'workflow_task_pk',
  })
  id: string;

  /** id of the WorkflowRun row */
  @Column('bigint')
  execution: string;

  /** JavaScript's `Infinity` when nothing wakes the task but a message */
  @Column('timestamp with time zone', { name: 'due_at' })
  dueAt: Date | number;

  /** id of the WorkflowWorker that holds the lease */
  @Column('uuid', { name: 'lease_owner', nullable: true })
  leaseOwner: string | null;

  /** grows with each claim; every write of a lease holder is guarded by it */
  @Column('integer', { default: 0 })
  fence: number;

  @Column('integer', { default: 0 })
  turn: number;

  /** raised with each arrival from outside; who suspends compares it */
  @Column('integer', { default: 0 })
  wanted: number;

  /** leases lost without progress since */
  @Column('integer', { default: 0 })
  lost: number;

  @Column('integer', { name: 'lost_position', default: 0 })
  lostPosition: number;

  @Column('smallint', { default: 0 })
  gather: number;

  /** smaller first; 32767 while its run waits for a singleton key: no claim looks there */
  @Column('smallint', { default: 0 })
  priority: number;

  @Column('text')
  kind: WorkflowTaskKind;

  /** the queue: the workflow's name, `name@version` of a version, and either with `@call` behind it for an external call */
  @Column('text')
  workflow: string;

  /** empty for the one `advance` task of a run */
  @Column('text', { name: 'step_key', default: '' })
  stepKey: string;

  /** stands in the line of this key, and not in the queue of its workflow */
  @Column('text', { name: 'flow_key', nullable: true })
  flowKey: string | null;

  /** why the run cannot go on until someone acts */
  @Column('text', { nullable: true })
  stuck: string | null;
}
