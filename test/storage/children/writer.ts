import { Database } from '../../../lib/typeorm/database.js';
import { openWorkflowDataSource } from '../../../lib/typeorm/data-source.js';
import { silentLogger } from '../../support/silent-logger.js';

// Writes rows to an embedded folder until it is killed, and tells of each one when it is committed.
const [folder] = process.argv.slice(2);
const source = await openWorkflowDataSource({ database: { embedded: folder! }, logger: silentLogger });
const database = new Database(source);
await database.query('create', 'create table if not exists written (n int primary key, filler text)', []);
const [{ next }] = (await database.query<{ next: number }>(
  'next',
  'select coalesce(max(n), 0) + 1 as next from written',
  [],
)) as [{ next: number }];
for (let n = next; ; n += 1) {
  await database.query('insert', 'insert into written values ($1, $2)', [n, 'x'.repeat(500)]);
  process.send!(n);
}
