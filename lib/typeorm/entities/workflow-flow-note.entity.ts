import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

/**
 * Tells the next claim that a task of this key has begun to wait, or that a lease of one has come back. Inserted with the
 * change itself, merged into the key's row by whoever claims next.
 */
@Entity(TABLE_NAMES.flowNote)
export class WorkflowFlowNote {
  @PrimaryColumn('timestamp with time zone', {
    name: 'noted_at',
    primaryKeyConstraintName: 'workflow_flow_note_pk',
  })
  notedAt: Date;

  /** bigint, as decimal digits */
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'workflow_flow_note_pk',
  })
  id: string;

  @Column('text', { name: 'flow_key' })
  flowKey: string;

  @Column('text')
  workflow: string;

  /** `Infinity` when only a lease has come back */
  @Column('timestamp with time zone', { name: 'due_at' })
  dueAt: Date | number;

  /** a lease has come back */
  @Column('boolean')
  frees: boolean;

  @Column('integer', { nullable: true })
  parallelism: number | null;

  @Column('integer', { nullable: true })
  rate: number | null;

  @Column('integer', { name: 'period_ms', nullable: true })
  periodMs: number | null;
}
