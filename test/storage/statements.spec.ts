import { expect, it } from 'vitest';
import * as statements from '../../lib/typeorm/statements/index.js';
import type { Statement } from '../../lib/typeorm/statements/statement.js';
import { tablesOf } from '../../lib/typeorm/tables.js';

const isStatement = (one: unknown): one is Statement =>
  typeof one === 'object' && one !== null && 'text' in one;
/** Also those that stand together, one for many and one for a single commit. */
const ALL = Object.values(statements)
  .flatMap((one) => (isStatement(one) ? [one] : Object.values(one)))
  .filter(isStatement);
/** They lease tasks, or move a lease: nothing begins to wait, and no slot comes back. */
const ONLY_LEASE = ['workflow_claim', 'workflow_claim_flow', 'workflow_adopt'];
/** They are for runs without a flow-control key; `test/contract` and `test/flow` hold who sends them to that. */
const WITHOUT_KEY = ['workflow_commit_lean', 'workflow_commit_turns', 'workflow_trigger_lean'];

it('every statement that lets a task wait or gives a lease back notes it for the line of its flow-control key', () => {
  const tables = tablesOf(undefined);
  const writers = ALL.filter(({ text }) =>
    /(update|insert into|delete from) "workflow_task"/.test(text(tables)),
  );
  expect(writers.length).toBeGreaterThan(12);
  const silent = writers.filter(({ text }) => !text(tables).includes('insert into "workflow_flow_note"'));
  expect([...new Set(silent.map(({ name }) => name))].toSorted()).toEqual(
    [...ONLY_LEASE, ...WITHOUT_KEY].toSorted(),
  );
});
