import type { MigrationInterface, QueryRunner } from 'typeorm';
import { tablesOf } from '../tables.js';
import { schemaOf } from './schema-of.js';

/**
 * What the step kinds beyond the core need: the request of a call (or of a webhook) beside its row, runs that belong to a
 * parent, runs that go on as a new execution, and runs that undo what they did before they end.
 * `unreported` and `uncascaded` mark what is still owed after an end; the pass that pays it clears them.
 */
export class WorkflowKinds1764000000000 implements MigrationInterface {
  readonly name = 'WorkflowKinds1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    await runner.query(`
      alter table ${t.run}
        add column depth smallint not null default 0,
        add column cascades boolean not null default true,
        add column rollbacks integer not null default 0,
        add column unreported boolean not null default false,
        add column uncascaded boolean not null default false,
        add column cancelling_at timestamptz,
        drop constraint workflow_run_status_known,
        add constraint workflow_run_status_known check (status in ('active', 'completed', 'failed', 'cancelled', 'continued'))`);
    await runner.query(
      `create index workflow_run_children on ${t.run} (parent_id) where status = 'active' and parent_id is not null`,
    );
    await runner.query(`create index workflow_run_unreported on ${t.run} (id) where unreported`);
    await runner.query(`create index workflow_run_uncascaded on ${t.run} (id) where uncascaded`);
    await runner.query(`alter table ${t.step} add column request text`);
    await runner.query(
      `create unique index workflow_step_webhook on ${t.step} (event) where kind = 'webhook'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    const t = tablesOf(schemaOf(runner));
    const schema = schemaOf(runner);
    const index = (name: string): string => (schema === undefined ? name : `"${schema}".${name}`);
    await runner.query(`drop index ${index('workflow_step_webhook')}`);
    await runner.query(`alter table ${t.step} drop column request`);
    for (const name of ['uncascaded', 'unreported', 'children'])
      await runner.query(`drop index ${index(`workflow_run_${name}`)}`);
    await runner.query(`
      alter table ${t.run}
        drop constraint workflow_run_status_known,
        add constraint workflow_run_status_known check (status in ('active', 'completed', 'failed', 'cancelled')),
        drop column depth, drop column cascades, drop column rollbacks, drop column unreported,
        drop column uncascaded, drop column cancelling_at`);
  }
}
