import { describe } from 'vitest';
import { MemoryRunStore } from '../simulation/memory/memory-run-store.js';
import { MemoryTables } from '../simulation/memory/tables.js';
import { runStoreContract } from './run-store.contract.js';
import { SettableClock } from './support.js';

describe('MemoryRunStore', () => {
  runStoreContract(() => {
    const clock = new SettableClock();
    const store = new MemoryRunStore(new MemoryTables(), clock);
    return Promise.resolve({ store, clock, dispose: () => Promise.resolve() });
  });
});
