import type { DataSource, QueryRunner } from 'typeorm';

/** Schema of the DataSource that runs a migration. TypeORM 1 calls it `dataSource`, TypeORM 0.3 `connection`. */
export function schemaOf(runner: QueryRunner): string | undefined {
  const source = ((runner as { dataSource?: DataSource }).dataSource ?? runner.connection) as DataSource;
  return (source.options as { schema?: string }).schema;
}
