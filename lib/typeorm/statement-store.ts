import type { EntityManager } from 'typeorm';
import { RunStore, type Clock, type StoreFault } from '../ports/index.js';
import { isPoison, isTransient, sqlStateOf, type Database } from './database.js';
import { StatementSender, type Send } from './statement-sender.js';
import type { Statement } from './statements/statement.js';
import type { Tables } from './tables.js';

const LOCK_TIMEOUT = '55P03';

/** A reply that took longer was held up on the way out, behind other statements; then it does not tell how late it is. */
const LONGEST_LAG_MS = 20;

/** What all parts of the store of runs have: how to send, and what an error means. */
export abstract class StatementStore extends RunStore {
  readonly #sender: StatementSender;

  constructor(
    database: Database,
    tables: Tables,
    private readonly clock: Clock,
  ) {
    super();
    this.#sender = new StatementSender(database, tables, clock);
  }

  fault(error: unknown): StoreFault {
    if (sqlStateOf(error) === LOCK_TIMEOUT) return 'blocked';
    if (isTransient(error)) return 'transient';
    return isPoison(error) ? 'poison' : 'fatal';
  }

  protected now(): number | null {
    return this.#sender.now();
  }

  /**
   * To be called before a statement is sent, and what it gives when the reply is there: how much later than the time in it that is. A
   * run that counts a sleep from a time that has passed already would wake too early.
   */
  protected lag(): () => number {
    const sent = this.clock.sqlElapsed();
    return () => Math.min(LONGEST_LAG_MS, this.clock.sqlElapsed() - sent);
  }

  protected query<R = unknown>(
    statement: Statement,
    values: unknown[],
    manager?: EntityManager,
  ): Promise<R[]> {
    return this.#sender.query<R>(statement, values, manager);
  }

  /** Statements of one transaction, each with a snapshot of its own: in the caller's, or in one that begins and ends here. */
  protected transaction<T>(work: (query: Send) => Promise<T>, manager?: EntityManager): Promise<T> {
    return this.#sender.transaction(work, manager);
  }

  protected queryReserved<R>(statement: Statement, values: unknown[]): Promise<R[]> {
    return this.#sender.queryReserved<R>(statement, values);
  }
}
