import type { EntityManager } from 'typeorm';
import { WorkflowError } from '../errors/index.js';
import type { Clock } from '../ports/index.js';
import { sqlStateOf, type Database } from './database.js';
import type { Statement } from './statements/statement.js';
import type { Tables } from './tables.js';

export type Send = <R = unknown>(statement: Statement, values: unknown[]) => Promise<R[]>;

/** Sends statements: their text for the tables of a schema, their time from a clock. */
export class StatementSender {
  readonly #texts = new Map<Statement, string>();

  constructor(
    readonly database: Database,
    private readonly tables: Tables,
    private readonly clock: Clock,
  ) {}

  /** First parameter of most statements: the time of a test, or null for the database's own. */
  now(): number | null {
    return this.clock.sqlNow()?.getTime() ?? null;
  }

  /** In the caller's transaction the statement goes through its manager, which may belong to another database. */
  async query<R = unknown>(statement: Statement, values: unknown[], manager?: EntityManager): Promise<R[]> {
    const text = this.#textOf(statement);
    if (!manager) return this.database.query<R>(statement.name, text, values);
    try {
      const result: unknown[] = await manager.query(text, values);
      // TypeORM gives [rows, count] for what ends in an update or a delete
      return (Array.isArray(result[0]) ? result[0] : result) as R[];
    } catch (error) {
      if (sqlStateOf(error) !== '42P01') throw error;
      throw new WorkflowError(
        'WF_MANAGER_FOREIGN',
        'The tables of the workflow module are not in the database of this manager',
        { cause: error },
      );
    }
  }

  /** Statements of one transaction, each with a snapshot of its own: in the caller's, or in one that begins and ends here. */
  transaction<T>(work: (query: Send) => Promise<T>, manager?: EntityManager): Promise<T> {
    if (manager) return work((statement, values) => this.query(statement, values, manager));
    return this.database.transaction((query) =>
      work((statement, values) => query(statement.name, this.#textOf(statement), values)),
    );
  }

  /** On the connection that is kept for heartbeats. */
  queryReserved<R>(statement: Statement, values: unknown[]): Promise<R[]> {
    return this.database.queryReserved<R>(statement.name, this.#textOf(statement), values);
  }

  #textOf(statement: Statement): string {
    let text = this.#texts.get(statement);
    if (text === undefined) this.#texts.set(statement, (text = statement.text(this.tables)));
    return text;
  }
}
