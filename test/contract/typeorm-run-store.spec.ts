import { describe } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { DATABASES } from '../support/databases.js';
import { runStoreContract } from './run-store.contract.js';
import { SettableClock, type StoreUnderTest } from './support.js';

describe.each(DATABASES)('TypeOrmRunStore on $name', (database) => {
  runStoreContract(async (): Promise<StoreUnderTest> => {
    const created = await database.create();
    const source = await created.open();
    const clock = new SettableClock();
    const db = new Database(source);
    return {
      store: new TypeOrmRunStore(db, tablesOf(undefined), clock),
      clock,
      dispose: async () => {
        await db.close();
        await source.destroy();
        await created.dispose();
      },
    };
  });
});
