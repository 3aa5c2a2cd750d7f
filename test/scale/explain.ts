import type { DataSource } from 'typeorm';
import type { Database } from '../../lib/typeorm/database.js';

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Node[];
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

/** What a statement has read to answer. */
export interface Reading {
  readonly name: string;
  /** tables that were read from end to end */
  readonly scanned: readonly string[];
  readonly indexes: readonly string[];
  /** rows of tables and entries of indexes, taken or passed over */
  readonly rows: number;
  /** rows that were read and did not fit */
  readonly removed: number;
  readonly buffers: number;
  readonly plan: Node;
}

/** Explains a statement, as it is executed with these values; what it writes is rolled back. */
export async function explain(
  source: DataSource,
  name: string,
  text: string,
  values: unknown[],
): Promise<Reading> {
  const runner = source.createQueryRunner();
  await runner.startTransaction('READ COMMITTED');
  try {
    const [row] = (await runner.query(`explain (analyze, buffers, format json) ${text}`, values)) as {
      'QUERY PLAN': { Plan: Node }[];
    }[];
    const plan = row!['QUERY PLAN'][0]!.Plan;
    const nodes = nodesOf(plan);
    const tables = nodes.filter(
      (node) => node['Relation Name'] !== undefined && node['Node Type'] !== 'ModifyTable',
    );
    const removedBy = (node: Node): number =>
      ((node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)) *
      node['Actual Loops'];
    const sum = (all: readonly Node[], of: (node: Node) => number): number =>
      all.reduce((total, node) => total + of(node), 0);
    return {
      name,
      scanned: [
        ...new Set(
          tables
            .filter((node) => node['Node Type'] === 'Seq Scan' && node['Actual Loops'] > 0)
            .map((node) => node['Relation Name']!),
        ),
      ],
      indexes: [
        ...new Set(
          nodes.flatMap((node) =>
            node['Index Name'] && node['Actual Loops'] > 0 ? [node['Index Name']] : [],
          ),
        ),
      ],
      rows: sum(tables, (node) => node['Actual Rows'] * node['Actual Loops'] + removedBy(node)),
      removed: sum(nodes, removedBy),
      buffers: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
      plan,
    };
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

/** Explains each statement of a database before it is sent. */
export function explaining(database: Database): Reading[] {
  const readings: Reading[] = [];
  const look = async (name: string, text: string, values: unknown[]): Promise<void> =>
    void readings.push(await explain(database.source, name, text, values));
  for (const method of ['query', 'queryReserved'] as const) {
    const send = database[method].bind(database);
    database[method] = async <R>(name: string, text: string, values: unknown[]): Promise<R[]> => {
      await look(name, text, values);
      return send<R>(name, text, values);
    };
  }
  const transaction = database.transaction.bind(database);
  database.transaction = (work) =>
    transaction((query) =>
      work(async (name, text, values) => {
        // beside the open transaction, whose locks it may meet: with what it has not written yet
        if (!name.endsWith('flow')) await look(name, text, values);
        return query(name, text, values);
      }),
    );
  return readings;
}
