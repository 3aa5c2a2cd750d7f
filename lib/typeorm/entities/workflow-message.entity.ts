import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

/** What arrived from outside and waits to be journaled; without an execution, an event kept for later waiters. */
@Entity(TABLE_NAMES.message)
@Check('workflow_message_kept_expires', 'execution is not null or expires_at is not null')
@Index('workflow_message_inbox', ['execution'], { where: 'execution is not null' })
@Index('workflow_message_kept', ['event', 'expiresAt'], { where: 'execution is null' })
export class WorkflowMessage {
  /** made by the sender, so that sending again is harmless */
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'workflow_message_pk' })
  id: string;

  /** id of the WorkflowRun row */
  @Column('bigint', { nullable: true })
  execution: string | null;

  @Column('text', { default: 'event' })
  kind: string;

  @Column('text')
  event: string;

  @Column('uuid', { name: 'event_id' })
  eventId: string;

  @Column('text', { nullable: true })
  key: string | null;

  @Column('text')
  data: string;

  @Column('timestamp with time zone', { name: 'created_at' })
  createdAt: Date;

  @Column('timestamp with time zone', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;
}
