import type { AdvanceCommit, CommitResult, StepCommit } from '../ports/index.js';
import {
  answerValues,
  commitValues,
  dataOf,
  leanValues,
  oneValues,
  resultsOf,
  wordOf,
  type OwnedColumns,
} from './commit-values.js';
import {
  arePlain,
  isSwift,
  leaseAndRow,
  plainResults,
  plainValues,
  type PlainColumns,
} from './plain-steps.js';
import { StatementStore } from './statement-store.js';
import * as sql from './statements/index.js';

const COMMITTED: readonly CommitResult[] = ['committed'];

/** The journal of runs is written: each batch by the smallest statement that can do what is asked. */
export abstract class CommitStore extends StatementStore {
  async commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]> {
    const [first] = commits;
    if (commits.length === 1 && isSwift(first!) && (await this.#commitSwift(first!))) return [...COMMITTED];
    const isLean = commits.every((c) => c.lean === true);
    if (isLean && commits.length > 1 && arePlain(commits)) {
      const [row] = await this.query<PlainColumns>(sql.plainMany, plainValues(this.now(), commits));
      return plainResults(commits.length, row!);
    }
    const written = isLean
      ? await this.#commitLean(commits)
      : await this.query<OwnedColumns>(sql.commit, commitValues(this.now(), commits));
    return this.#ownEnds(commits, resultsOf(commits, written));
  }

  /** False: nothing was written, and the general statement has to tell why. */
  async #commitSwift(commit: AdvanceCommit): Promise<boolean> {
    const { next, turn, wantedSeen } = commit;
    const values = leaseAndRow(commit);
    const held =
      next.to !== 'continue'
        ? await this.query(sql.swiftEnd, [
            ...values,
            turn,
            wantedSeen,
            wordOf(next),
            dataOf(next),
            this.now(),
          ])
        : turn === null
          ? await this.query(sql.swiftStep, values)
          : await this.query(sql.swiftTurn, [...values, turn]);
    return held.length === 1;
  }

  #commitLean(commits: readonly AdvanceCommit[]): Promise<OwnedColumns[]> {
    const name = leanStatement(commits);
    const [commit] = commits;
    if (commits.length === 1 && commit!.rows.length === 1)
      return this.query(sql.commitOne[name], oneValues(this.now(), commit!, commit!.rows[0]!));
    return this.query(sql.commitMany[name], leanValues(this.now(), commits));
  }

  /**
   * An end whose first try was committed and whose reply was lost finds its task gone: the header tells that it was ours. The fence alone does not:
   * another copy of the same delivery has it too, and may have come to another end, which is the one that counts.
   */
  async #ownEnds(commits: readonly AdvanceCommit[], results: CommitResult[]): Promise<CommitResult[]> {
    const isEnd = (c: AdvanceCommit): boolean => c.next.to !== 'continue' && c.next.to !== 'suspend';
    const asked = commits.filter((c, i) => results[i] === 'lost' && isEnd(c));
    if (asked.length === 0) return results;
    const rows = await this.query<EndColumns>(sql.endedUnder, [asked.map((c) => c.execution)]);
    const ends = new Map(rows.map((row) => [row.execution, row]));
    return commits.map((c, i) =>
      results[i] === 'lost' && isEnd(c) && isSame(c, ends.get(c.execution)) ? 'committed' : results[i]!,
    );
  }

  async answer(commits: readonly StepCommit[]): Promise<CommitResult[]> {
    return resultsOf(commits, await this.query<OwnedColumns>(sql.answer, answerValues(this.now(), commits)));
  }
}

interface EndColumns {
  execution: string;
  ended_fence: number | null;
  status: string;
  data: string | null;
}

/** The smallest that can do what these ask for. */
function leanStatement(commits: readonly AdvanceCommit[]): sql.LeanStatement {
  if (!commits.every((c) => c.next.to === 'continue')) return 'workflow_commit_lean';
  return commits.every((c) => c.turn === null) ? 'workflow_commit_steps' : 'workflow_commit_turns';
}

function isSame({ fence, next }: AdvanceCommit, end: EndColumns | undefined): boolean {
  if (end?.ended_fence !== fence || end.status !== next.to) return false;
  if (next.to === 'completed') return end.data === next.result;
  return next.to !== 'failed' || end.data === next.error;
}
