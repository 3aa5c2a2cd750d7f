import type pg from 'pg';
import { isTextArray, textArray, type ArrayItem } from './text-array.js';

/** What can be sent without a conversion that only node-postgres knows. */
export type LeanValue = string | number | boolean | bigint | Buffer | readonly ArrayItem[] | null | undefined;

/** Of node-postgres' `Connection`, what its own queries use of it too. */
interface Connection {
  readonly stream: { write(bytes: Buffer): unknown };
  /** text of each statement that this connection has prepared, by its name; the client notes it */
  readonly parsedStatements: Record<string, string | undefined>;
  parse(statement: { name: string; text: string }): void;
}

interface Columns {
  readonly names: readonly string[];
  readonly parsers: readonly ((text: string) => unknown)[];
}
const NO_COLUMNS: Columns = { names: [], parsers: [] };

/** A statement under its name, and what is known of it. */
export class Prepared {
  /** how a Bind message of it begins: no portal, its name */
  readonly head: Buffer;
  /** what its rows have, by the connection that has described it: that cannot change for as long as it is prepared there */
  readonly columns = new WeakMap<object, Columns>();

  constructor(
    readonly name: string,
    readonly text: string,
  ) {
    this.head = Buffer.concat([Buffer.from('B\0\0\0\0\0'), Buffer.from(name), Buffer.from('\0')]);
  }
}

export const areLean = (values: unknown[]): values is LeanValue[] => {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || typeof value !== 'object') continue;
    if (!Buffer.isBuffer(value) && !isTextArray(value)) return false;
  }
  return true;
};

const DESCRIBE = [0x44, 0, 0, 0, 6, 0x50, 0]; // D, the unnamed portal
const EXECUTE_AND_SYNC = [0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x53, 0, 0, 0, 4]; // E, the unnamed portal, all rows; S
const EXECUTE = Buffer.from(EXECUTE_AND_SYNC);
const DESCRIBE_AND_EXECUTE = Buffer.from([...DESCRIBE, ...EXECUTE_AND_SYNC]);

const textOf = (value: Exclude<LeanValue, string | null | undefined>): string | Buffer => {
  if (typeof value !== 'object') return String(value);
  return Buffer.isBuffer(value) ? value : textArray(value as readonly ArrayItem[]);
};

/** What is longer is measured before it is written. */
const SHORT = 1024;
const PARAMETER_HEAD = 6; // its format and its length

/** Bind, (Describe,) Execute and Sync as one piece. https://www.postgresql.org/docs/current/protocol-message-formats.html */
export function messageOf(head: Buffer, values: readonly LeanValue[], tail: Buffer): Buffer {
  const texts: (string | Buffer | null)[] = [];
  let most = head.length + 6 + values.length * PARAMETER_HEAD + tail.length;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const text = value == null ? null : typeof value === 'string' ? value : textOf(value);
    texts.push(text);
    if (text === null) continue;
    most +=
      typeof text === 'object'
        ? text.length
        : text.length <= SHORT
          ? 3 * text.length
          : Buffer.byteLength(text);
  }
  const buffer = Buffer.allocUnsafe(most);
  let at = head.copy(buffer);
  at = buffer.writeInt16BE(texts.length, at);
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    // 1: in the binary format
    at = buffer.writeInt16BE(text !== null && typeof text === 'object' ? 1 : 0, at);
  }
  at = buffer.writeInt16BE(texts.length, at);
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    if (text === null) {
      at = buffer.writeInt32BE(-1, at);
      continue;
    }
    const length = typeof text === 'object' ? text.copy(buffer, at + 4) : buffer.write(text, at + 4, 'utf8');
    at = buffer.writeInt32BE(length, at) + length;
  }
  // results: all as text
  at = buffer.writeInt16BE(0, at);
  // of the Bind message, without its first byte
  buffer.writeInt32BE(at - 1, 1);
  at += tail.copy(buffer, at);
  return buffer.subarray(0, at);
}

/**
 * One execution of a prepared statement, as node-postgres takes it from others ("submittable", as of pg-cursor): it is written to the
 * socket in one piece, and what comes back is not described again and again. Of the way of a step through Node the general `Query` (an event
 * emitter, a clone of its settings, a result with its fields, four writes, a promise and a timer) was two thirds: 130 of 210 us
 * from the reply to the next statement, on a machine on which a commit takes 350.
 */
export class LeanQuery implements pg.Submittable {
  readonly name: string;
  readonly text: string;
  /** every end goes through it: node-postgres puts one in its place that calls off the time limit of the client (`query_timeout`) */
  callback: (error: Error | null) => void;
  #rows: unknown[] = [];
  #columns: Columns | undefined;
  #unreadable: Error | undefined;
  #isOver = false;

  constructor(
    private readonly statement: Prepared,
    private readonly values: readonly LeanValue[],
    private readonly client: Pick<pg.PoolClient, 'getTypeParser'>,
    private readonly done: (error: Error | null, rows: unknown[]) => void,
  ) {
    this.name = statement.name;
    this.text = statement.text;
    this.callback = (error) => this.#end(error);
  }

  /** An error given back is given to `handleError` by the client, and nothing was written then. */
  submit(to: pg.Connection): Error | null {
    const connection = to as unknown as Connection;
    const { statement } = this;
    const isParsed = connection.parsedStatements[statement.name] !== undefined;
    if (isParsed) this.#columns = statement.columns.get(connection);
    try {
      const message = messageOf(statement.head, this.values, this.#columns ? EXECUTE : DESCRIBE_AND_EXECUTE);
      if (!isParsed) connection.parse(statement);
      connection.stream.write(message);
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  handleRowDescription({ fields }: { fields: readonly { name: string; dataTypeID: number }[] }): void {
    this.#columns = {
      names: fields.map(({ name }) => name),
      parsers: fields.map(
        ({ dataTypeID }) => this.client.getTypeParser(dataTypeID, 'text') as (text: string) => unknown,
      ),
    };
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    const { names, parsers } = this.#columns!;
    const row: Record<string, unknown> = {};
    try {
      for (let i = 0; i < fields.length; i++) {
        const text = fields[i]!;
        row[names[i]!] = text === null ? null : parsers[i]!(text);
      }
    } catch (error) {
      // a parser that the application has set: thrown from here it would end the process
      this.#unreadable ??= error as Error;
    }
    this.#rows.push(row);
  }

  handleReadyForQuery(connection: Connection): void {
    const { columns } = this.statement;
    if (!columns.has(connection)) columns.set(connection, this.#columns ?? NO_COLUMNS);
    this.callback(this.#unreadable ?? null);
  }

  handleError(error: Error): void {
    this.callback(error);
  }

  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}

  /** Once: after a time limit its reply may still come. */
  #end(error: Error | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.done(error, this.#rows);
  }
}
