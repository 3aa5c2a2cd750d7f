import type { EntityManager } from 'typeorm';
import { WorkflowError } from '../errors/index.js';
import { RunStore, type Clock, type StoreFault } from '../ports/index.js';
import { isPoison, isTransient, sqlStateOf, type Database } from './database.js';
import type { Statement } from './statements/statement.js';
import type { Tables } from './tables.js';

const LOCK_TIMEOUT = '55P03';

/** Sends the statements of a store: their text for its tables, their time from its clock. */
export abstract class StatementStore extends RunStore {
  readonly #texts = new Map<Statement, string>();

  constructor(
    private readonly database: Database,
    private readonly tables: Tables,
    private readonly clock: Clock,
  ) {
    super();
  }

  fault(error: unknown): StoreFault {
    if (sqlStateOf(error) === LOCK_TIMEOUT) return 'blocked';
    if (isTransient(error)) return 'transient';
    return isPoison(error) ? 'poison' : 'fatal';
  }

  /** First parameter of most statements: the time of a test, or null for the database's own. */
  protected now(): number | null {
    return this.clock.sqlNow()?.getTime() ?? null;
  }

  /** In the caller's transaction the statement goes through its manager, which may belong to another database. */
  protected async query<R = unknown>(
    statement: Statement,
    values: unknown[],
    manager?: EntityManager,
  ): Promise<R[]> {
    const text = this.#textOf(statement);
    if (!manager) return this.database.query<R>(statement.name, text, values);
    try {
      return (await manager.query(text, values)) as R[];
    } catch (error) {
      if (sqlStateOf(error) !== '42P01') throw error;
      throw new WorkflowError(
        'WF_MANAGER_FOREIGN',
        'The tables of the workflow module are not in the database of this manager',
        { cause: error },
      );
    }
  }

  /** On the connection that is kept for heartbeats. */
  protected queryReserved<R>(statement: Statement, values: unknown[]): Promise<R[]> {
    return this.database.queryReserved<R>(statement.name, this.#textOf(statement), values);
  }

  #textOf(statement: Statement): string {
    let text = this.#texts.get(statement);
    if (text === undefined) this.#texts.set(statement, (text = statement.text(this.tables)));
    return text;
  }
}
