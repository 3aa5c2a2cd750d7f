import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

/**
 * One flow-control key: its limits as last seen, and where it stands. How many of its tasks are executed is counted from their
 * leases, never kept here. Times may be `Infinity` or `-Infinity`.
 */
@Entity(TABLE_NAMES.flow)
@Check('workflow_flow_control_rate_has_period', '(rate is null) = (period_ms is null)')
@Index('workflow_flow_control_ready', ['workflow', 'readyAt'], { where: 'not paused and not is_full' })
@Index('workflow_flow_control_idle', ['servedAt'], { where: `head_at = 'infinity'` })
export class WorkflowFlowControl {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'workflow_flow_control_pk' })
  key: string;

  /** the queue of those who wait; empty when they are of several */
  @Column('text')
  workflow: string;

  @Column('integer', { nullable: true })
  parallelism: number | null;

  @Column('integer', { nullable: true })
  rate: number | null;

  @Column('integer', { name: 'period_ms', nullable: true })
  periodMs: number | null;

  @Column('boolean')
  paused: boolean;

  /** every slot was taken at the last look, and no lease has come back since */
  @Column('boolean', { name: 'is_full' })
  isFull: boolean;

  /** not later than the first that waits is due */
  @Column('timestamp with time zone', { name: 'head_at' })
  headAt: Date | number;

  /** the rate is used up until then */
  @Column('timestamp with time zone', { name: 'blocked_until' })
  blockedUntil: Date | number;

  /** when a claim looked at it last */
  @Column('timestamp with time zone', { name: 'served_at' })
  servedAt: Date | number;

  /** its place among the keys: the latest of the three */
  @Column('timestamp with time zone', { name: 'ready_at' })
  readyAt: Date | number;

  /** starts within the last period, in buckets of a 64th of it: when each bucket ends */
  @Column('timestamp with time zone', { name: 'window_ends', array: true })
  windowEnds: Date[];

  @Column('integer', { name: 'window_counts', array: true })
  windowCounts: number[];
}
