import { encodeFailure, toFailure } from '../engine/failure.js';
import type { JournalRow } from '../engine/journal.js';
import { pendingRow } from '../engine/plan.js';
import type { Ask } from '../engine/replay.js';
import type { Codec } from '../ports/index.js';

/**
 * The row of a call that needs nobody, answered as it is asked. What it throws is its answer too: another process, with other
 * settings, would answer otherwise, and the code has gone on with this one.
 */
export function instantRow(ask: Ask, position: number, codec: Codec, now: number): JournalRow {
  const row = {
    ...pendingRow(ask, now),
    state: 'journaled',
    position,
    attempts: 1,
    finishedAt: now,
  } as const;
  try {
    const { value, event, request } = ask.request.instant!();
    const answer = { ok: true, value: codec.encode(value, `result of step "${ask.key}"`) } as const;
    return { ...row, answer, event, request };
  } catch (error) {
    return { ...row, answer: { ok: false, failure: encodeFailure(toFailure(error)) } };
  }
}
