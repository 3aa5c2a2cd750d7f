import { encodeFailure, toFailure } from '../engine/failure.js';
import { WorkflowError } from '../errors/index.js';
import type { CommitResult, StepCommit } from '../ports/index.js';
import type { JournalWriter } from './journal-writer.js';

/**
 * Stores the answer of a step that has a task of its own. A value that the database refuses makes it a failure: the next
 * attempt would give the same.
 */
export async function answerStep(writer: JournalWriter, answer: StepCommit): Promise<CommitResult> {
  try {
    return await writer.answer(answer);
  } catch (error) {
    if (!WorkflowError.is(error, 'WF_NOT_STORABLE')) throw error;
    const failure = encodeFailure(toFailure(error));
    const row = { ...answer.row, answer: { ok: false as const, failure } };
    return writer.answer({ ...answer, row, retryAt: null });
  }
}
