import type { DataSource } from 'typeorm';
import { afterAll, describe, expect, it } from 'vitest';
import { createEmptyPostgres, DATABASES, type TestDatabase } from '../support/databases.js';

const disposals: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const dispose of disposals.toReversed()) await dispose();
});

async function opened(database: TestDatabase, options: { schema?: string } = {}): Promise<DataSource> {
  disposals.push(() => database.dispose());
  const source = await database.open(options);
  disposals.push(() => source.destroy());
  return source;
}

async function drift(source: DataSource): Promise<string[]> {
  const { upQueries } = await source.driver.createSchemaBuilder().log();
  return upQueries.map(({ query }) => query);
}

describe('entities and migrations', () => {
  it.each(DATABASES)('describe the same tables on $name', async ({ create }) => {
    expect(await drift(await opened(await create()))).toEqual([]);
  });

  it('describe the same tables in a schema of their own, which is created', async () => {
    const source = await opened(await createEmptyPostgres(), { schema: 'Flows' });
    expect(await drift(source)).toEqual([]);
    const rows = await source.query(
      `select table_name from information_schema.tables where table_schema = 'Flows'`,
    );
    expect(rows).toHaveLength(9);
  });

  it('agree on constraints and indexes word by word', async () => {
    // TypeORM compares names only: what the entities say is created in a second database and read back
    const migrated = await opened(await createEmptyPostgres());
    const synchronized = await opened(await createEmptyPostgres());
    await synchronized.query(
      'drop table workflow_run, workflow_step, workflow_task, workflow_message, workflow_worker, workflow_schedule, workflow_flow_control, workflow_flow_note',
    );
    await synchronized.synchronize();
    const definitions = async (source: DataSource): Promise<string[]> => {
      const rows: { definition: string }[] = await source.query(`
        select conname || ': ' || pg_get_constraintdef(oid) as definition from pg_constraint
        where conrelid::regclass::text like 'workflow\\_%' and contype in ('c', 'p')
          and conrelid <> 'workflow_migration'::regclass
        union all
        select indexname || ': ' || indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'workflow_migration' and indexname <> 'workflow_run_by_label'
        union all
        select table_name || '.' || column_name || ': ' || data_type || ' ' || is_nullable || ' ' || coalesce(regexp_replace(column_default, '^''(\\d+)''::smallint$', '\\1'), '')
          || ' ' || coalesce(identity_generation, '')
        from information_schema.columns where table_schema = 'public' and table_name <> 'workflow_migration'
        order by 1`);
      return rows.map(({ definition }) => definition);
    };
    expect(await definitions(synchronized)).toEqual(await definitions(migrated));
  });
});
