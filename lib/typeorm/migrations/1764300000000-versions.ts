import type { MigrationInterface, QueryRunner } from 'typeorm';
import { tablesOf } from '../tables.js';
import { schemaOf } from './schema-of.js';

/**
 * What a fleet of several versions needs: workers say from which queues they claim (null: one of a release before this, which
 * claims by names alone), and runs that are stuck are found without looking at all.
 */
export class WorkflowVersions1764300000000 implements MigrationInterface {
  readonly name = 'WorkflowVersions1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    await runner.query(`alter table ${t.worker} add column serves text[]`);
    await runner.query(`create index workflow_task_stuck on ${t.task} (execution) where stuck is not null`);
  }

  async down(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    const schema = schemaOf(runner);
    const index = schema === undefined ? 'workflow_task_stuck' : `"${schema}".workflow_task_stuck`;
    await runner.query(`drop index ${index}`);
    await runner.query(`alter table ${t.worker} drop column serves`);
  }
}
