import type { StoreFault } from '../../../lib/ports/index.js';

/** What a database says to a statement that it does not carry out. */
export class MemoryStoreError extends Error {
  override readonly name = 'MemoryStoreError';

  constructor(
    message: string,
    readonly fault: StoreFault,
  ) {
    super(message);
  }
}

export const faultOf = (error: unknown): StoreFault =>
  error instanceof MemoryStoreError ? error.fault : 'fatal';
