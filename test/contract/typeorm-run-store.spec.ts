import { describe } from 'vitest';
import { Database } from '../../lib/typeorm/database.js';
import { tablesOf } from '../../lib/typeorm/tables.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';
import { DATABASES } from '../support/databases.js';
import { LeanStore } from './lean-store.js';
import { runStoreContract } from './run-store.contract.js';
import { SettableClock, type StoreUnderTest } from './support.js';

const STORES = [
  { how: 'TypeOrmRunStore', Store: TypeOrmRunStore },
  { how: 'TypeOrmRunStore with lean commits', Store: LeanStore },
];
const all = DATABASES.flatMap((database) => STORES.map((store) => ({ ...database, ...store })));

describe.each(all)('$how on $name', ({ Store, ...database }) => {
  runStoreContract(async (): Promise<StoreUnderTest> => {
    const created = await database.create();
    const source = await created.open();
    const clock = new SettableClock();
    const db = new Database(source);
    return {
      store: new Store(db, tablesOf(undefined), clock),
      clock,
      dispose: async () => {
        await db.close();
        await source.destroy();
        await created.dispose();
      },
    };
  });
});
