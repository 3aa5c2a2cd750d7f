import type { AdvanceCommit, CommitResult } from '../../lib/ports/index.js';
import { TypeOrmRunStore } from '../../lib/typeorm/typeorm.store.js';

/** The same store, which is given every commit as a lean one that may be. */
export class LeanStore extends TypeOrmRunStore {
  override async commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    const plain = new Set(await this.#plain(commits.map(({ execution }) => execution)));
    const asLean = commits.map((commit): AdvanceCommit => ({ ...commit, lean: mayBeLean(commit, plain) }));
    // the runtime has a lane for each
    const results = new Map<AdvanceCommit, CommitResult>();
    for (const lean of [true, false]) {
      const some = asLean.filter((commit) => commit.lean === lean);
      const written = some.length === 0 ? [] : await super.commit(some);
      some.forEach((commit, i) => results.set(commit, written[i]!));
    }
    return asLean.map((commit) => results.get(commit)!);
  }

  /** Those without a flow-control key for which no other task was ever made. */
  async #plain(executions: readonly string[]): Promise<string[]> {
    const text = (): string => `
      select r.id::text as id from workflow_run r
      where r.id = any($1::bigint[]) and r.flow_key is null
        and not exists (select from workflow_step s where s.execution = r.id and s.dispatched)`;
    const rows = await this.query<{ id: string }>({ name: 'test_plain', text }, [executions]);
    return rows.map(({ id }) => id);
  }
}

function mayBeLean(commit: AdvanceCommit, plain: ReadonlySet<string>): boolean {
  const { next, rows, tasks, consumed, rollbacks } = commit;
  if (tasks.length + consumed.length > 0 || rollbacks !== null || !plain.has(commit.execution)) return false;
  if (next.to === 'suspend') return next.attempt === undefined && next.stuck === undefined;
  if (next.to === 'continue') return true;
  return (next.to === 'completed' || next.to === 'failed') && !rows.some(({ dispatched }) => dispatched);
}
