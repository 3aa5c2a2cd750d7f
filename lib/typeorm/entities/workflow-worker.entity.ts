import { Column, Entity, PrimaryColumn } from 'typeorm';
import { TABLE_NAMES } from '../tables.js';

/** One process, with one heartbeat for all its leases. */
@Entity(TABLE_NAMES.worker)
export class WorkflowWorker {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'workflow_worker_pk' })
  id: string;

  @Column('text')
  host: string;

  @Column('integer')
  pid: number;

  /** queues from which it claims; null: a process of a release that did not say */
  @Column('text', { array: true, nullable: true })
  serves: string[] | null;

  @Column('timestamp with time zone', { name: 'started_at', default: () => 'now()' })
  startedAt: Date;

  @Column('timestamp with time zone', { name: 'beat_at', default: () => 'now()' })
  beatAt: Date;
}
