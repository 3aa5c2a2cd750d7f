import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

export type WorkflowStepState = 'pending' | 'answered' | 'journaled';

/** One durable call of an execution. A journaled row has its answer and its position, and never changes again. */
@Entity(TABLE_NAMES.step)
@Check('workflow_step_state_known', `state in ('pending', 'answered', 'journaled')`)
@Check('workflow_step_journaled_has_position', `(state = 'journaled') = (position is not null)`)
@Check('workflow_step_one_answer', `state = 'pending' or num_nonnulls(value, failure) = 1`)
@Index('workflow_step_webhook', ['event'], { unique: true, where: `kind = 'webhook'` })
@Index('workflow_step_waiting', ['event'], { where: `state = 'pending' and event is not null` })
export class WorkflowStep {
  /** id of the WorkflowRun row */
  @PrimaryColumn('bigint', { primaryKeyConstraintName: 'workflow_step_pk' })
  execution: string;

  @Column('integer', { nullable: true })
  position: number | null;

  @Column('integer', { default: 0 })
  attempts: number;

  @Column('timestamp with time zone', { name: 'asked_at' })
  askedAt: Date;

  @Column('timestamp with time zone', { name: 'finished_at', nullable: true })
  finishedAt: Date | null;

  @Column('timestamp with time zone', { name: 'wake_at', nullable: true })
  wakeAt: Date | null;

  @Column('uuid', { name: 'event_id', nullable: true })
  eventId: string | null;

  /** the step is executed under a task of its own */
  @Column('boolean', { default: false })
  dispatched: boolean;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'workflow_step_pk' })
  key: string;

  @Column('text')
  name: string;

  @Column('text')
  kind: string;

  @Column('text')
  state: WorkflowStepState;

  /** of the arguments, to see that a key means another call than it did */
  @Column('text', { nullable: true })
  digest: string | null;

  /** name of the event that a wait is for */
  @Column('text', { nullable: true })
  event: string | null;

  /** what the engine has to know to answer it: the request of a call, the options of a webhook */
  @Column('text', { nullable: true })
  request: string | null;

  @Column('text', { nullable: true })
  value: string | null;

  @Column('text', { nullable: true })
  failure: string | null;
}
