import type { JournalRow } from '../../../lib/engine/journal.js';
import type { Execution, Judge } from './checker.js';

/** Longest way of an answer of the database, and of a few turns of the loop behind it. */
const CONCURRENT_MS = 2000;

/** What the code of runs does, against what is durable at that moment. */
export function judgeCode(): Judge {
  const draws = new Map<string, string>();
  const answeredAt = new Map<string, number>();
  const undoable = new Map<string, string[]>();
  const undone = new Map<string, string[]>();
  return (entry, { executions, complain }) => {
    if (entry.is === 'undoable') {
      const known = undoable.get(entry.life) ?? [];
      undoable.set(entry.life, known);
      if (!known.includes(entry.key)) known.push(entry.key);
      return;
    }
    if (entry.is === 'over') {
      for (const run of executions.values()) judgeUndone(run, undoable.get(run.life) ?? [], complain);
      return;
    }
    if (entry.is === 'row' && entry.row.state !== 'pending') {
      const id = `${entry.execution}/${entry.row.key}`;
      if (!answeredAt.has(id)) answeredAt.set(id, entry.at);
    }
    if (entry.is !== 'begins') return;
    const { key, life, after } = entry;
    const run = executions.get(entry.execution);
    if (!run) return complain('every run ends', `${life}/${key} is executed for a run that is not there`);
    const row = run.rows.get(key);
    // a copy of a request that another process executes at this very moment has read the journal before: it is fenced, not foreseen
    const since = entry.at - (answeredAt.get(`${entry.execution}/${key}`) ?? 0);
    if (row && row.state !== 'pending' && since > CONCURRENT_MS)
      complain('journaled is never executed again', `${life}/${key} is ${row.state}, and is executed again`);
    for (const [other, seen] of after) {
      if (other.startsWith('d')) {
        const known = draws.get(`${life}/${other}`) ?? seen;
        draws.set(`${life}/${other}`, known);
        if (known !== seen)
          complain(
            'replay sees what was journaled',
            `${life}/${other} was ${known}, and is ${seen} for ${key}`,
          );
        continue;
      }
      const known = run.rows.get(other);
      if (known?.state !== 'journaled')
        complain(
          'journaled before what depends on it',
          `${life}/${key} begins after ${other}, which is ${known?.state ?? 'nowhere'}`,
        );
      else if (!sameAs(known, seen))
        complain(
          'replay sees what was journaled',
          `${life}/${key} begins after ${other} was ${seen}, journaled is ${JSON.stringify(known.answer)}`,
        );
    }
    if (!key.startsWith('rollback/')) return;
    if (run.status === 'completed' || run.status === 'continued')
      complain('undone, the last first', `${life}/${key} undoes a run that has ${run.status}`);
    const order = undone.get(entry.execution) ?? [];
    undone.set(entry.execution, order);
    if (order.includes(key)) return;
    const registered = undoable.get(life) ?? [];
    const position = (one: string): number => registered.indexOf(one.slice('rollback/'.length));
    const last = order.at(-1);
    if (last !== undefined && position(last) < position(key))
      complain(
        'undone, the last first',
        `${life}: ${key} is undone after ${last}, which was registered before it`,
      );
    if (last !== undefined && run.rows.get(last)?.state !== 'journaled')
      complain('undone, the last first', `${life}: ${key} is undone before ${last} has been`);
    order.push(key);
  };
}

/** Everything that was registered, durably, has been undone at the end of a run that has not succeeded. */
function judgeUndone(
  run: Execution,
  registered: readonly string[],
  complain: (rule: 'undone, the last first', what: string) => void,
): void {
  if (run.status !== 'failed' && run.status !== 'cancelled') return;
  for (const key of registered.slice(0, run.rollbacks)) {
    if (run.rows.get(`rollback/${key}`)?.state !== 'journaled')
      complain('undone, the last first', `${run.life} is ${run.status}, and ${key} was not undone`);
  }
}

const TOKEN = /#t\d+/g;
const tokensIn = (text: string): string => [...new Set(text.match(TOKEN) ?? [])].toSorted().join();

/** Whether what the code saw is what the journal says: every execution gives a token that no other gives. */
export function sameAs({ kind, answer, eventId }: JournalRow, seen: string): boolean {
  if (answer === null) return false;
  if (!answer.ok) return /^(Step|Child)FailedError/.test(seen);
  if (kind === 'wait') return seen.includes('"timedOut":true') === (eventId === null);
  if (kind === 'sleep') return seen === 'slept';
  return tokensIn(answer.value) === tokensIn(seen);
}
