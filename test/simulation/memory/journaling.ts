import { queueOf } from '../../../lib/engine/version.js';
import type { JournalRow } from '../../../lib/engine/journal.js';
import type {
  AdvanceCommit,
  CommitResult,
  Loaded,
  LoadRequest,
  StepCommit,
} from '../../../lib/ports/index.js';
import { MemoryStoreError } from './faults.js';
import { noteLimits } from './flowing.js';
import {
  callQueue,
  headerOf,
  NEW_RUN,
  type MemoryTables,
  type MessageRow,
  type RunRow,
  type TaskRow,
} from './tables.js';
import { copyId, held } from './tasks.js';

/** Statement `load`: everything of a run beyond a position, under its lease. */
export function load(t: MemoryTables, request: LoadRequest, now: number): Loaded | null {
  const task = held(t, request);
  const run = task && t.active.get(task.execution);
  if (!task || !run) return null;
  const rows = t
    .stepsOf(run.execution)
    .filter((row) =>
      row.state === 'journaled'
        ? row.position! > request.position || (task.kind === 'call' && row.key === '@failure')
        : task.kind === 'advance' || row.key === task.stepKey,
    );
  const inbox = task.kind === 'advance' ? t.inbox(run.execution).filter(({ kind }) => kind !== 'taken') : [];
  inbox.sort((a, b) => a.createdAt - b.createdAt || (a.eventId < b.eventId ? -1 : 1));
  return {
    header: headerOf(run),
    rows,
    inbox: inbox.map(({ id, kind, key, event, eventId, data, createdAt }) => ({
      id,
      kind: kind as Exclude<MessageRow['kind'], 'taken'>,
      key,
      event,
      eventId,
      data,
      createdAt,
    })),
    step: task.stepKey === '' ? null : task.stepKey,
    wanted: task.wanted,
    turn: task.turn,
    gather: task.gather,
    lost: task.lost,
    paced: run.flowKey !== null && t.flows.get(run.flowKey)?.rate != null,
    now,
  };
}

interface Owned {
  readonly commit: AdvanceCommit;
  readonly task: TaskRow;
  readonly run: RunRow;
  /** something arrived for a run that would go on as new: it suspends instead */
  readonly late: boolean;
  readonly grown: boolean;
}

/** Statement `commit`: the durable flush of many activations. Fences are compared as they stand when the statement begins. */
export function commit(t: MemoryTables, commits: readonly AdvanceCommit[], now: number): CommitResult[] {
  const owned = commits.map((one): Owned | undefined => {
    const task = held(t, one);
    const run = t.runs.get(one.execution);
    if (!task || !run || (one.turn !== null && task.turn !== one.turn)) return undefined;
    const grown = task.wanted > one.wantedSeen;
    return { commit: one, task, run, grown, late: one.next.to === 'continued' && grown };
  });
  const ours = owned.filter((one) => one !== undefined);
  checkRows(t, ours);
  for (const one of ours) store(t, one, now);
  return owned.map((one): CommitResult => {
    if (!one) return 'lost';
    return one.grown && (one.late || one.commit.next.to === 'suspend') ? 'due' : 'committed';
  });
}

/** What PostgreSQL refuses: constraints of the table, and one row written twice by one statement. */
function checkRows(t: MemoryTables, owned: readonly Owned[]): void {
  const written = new Set<string>();
  for (const { commit: one } of owned) {
    for (const row of one.rows) {
      const id = `${one.execution}/${row.key}`;
      if (written.has(id))
        throw new MemoryStoreError('ON CONFLICT DO UPDATE command cannot affect row a second time', 'fatal');
      if (isOpen(t.steps.get(one.execution)?.get(row.key), row)) written.add(id);
      if ((row.state === 'journaled') !== (row.position !== null))
        throw new MemoryStoreError('violates workflow_step_journaled_has_position', 'poison');
      if (row.state !== 'pending' && row.answer === null)
        throw new MemoryStoreError('violates workflow_step_one_answer', 'poison');
      const hook = row.kind === 'webhook' && row.event !== null ? t.webhooks.get(row.event) : undefined;
      if (hook && (hook.execution !== one.execution || hook.key !== row.key))
        throw new MemoryStoreError('violates workflow_step_webhook', 'poison');
    }
  }
}

function store(t: MemoryTables, { commit: one, task, run, late, grown }: Owned, now: number): void {
  t.wrote(one, one.turn);
  const written = one.rows.filter((row) => writeRow(t, one.execution, row)).map(({ key }) => key);
  for (const { key, kind, dueAt, flow, owner } of one.tasks) {
    if (!written.includes(key) || t.tasksOf.get(one.execution)?.has(key)) continue;
    const own = queueOf(run.workflow, run.version);
    const queue = kind === 'call' ? callQueue(own) : own;
    const flowKey = flow?.key ?? (kind === 'call' ? null : task.flowKey);
    t.addTask({
      execution: run.execution,
      queue,
      kind,
      stepKey: key,
      flowKey,
      priority: task.priority,
      dueAt,
      ...(owner !== undefined && { owner }),
    });
    if (flow) noteLimits(t, flow);
  }
  for (const id of one.consumed) {
    const message = t.messages.get(id);
    if (message) t.removeMessage(message);
  }
  const next = late ? ({ to: 'suspend', dueAt: null } as const) : one.next;
  switch (next.to) {
    case 'continue':
      count(t, run, one.rollbacks, undefined);
      if (one.turn !== null) task.turn++;
      return;
    case 'suspend': {
      count(t, run, one.rollbacks, next.attempt);
      const dueAt = next.dueAt ?? Infinity;
      task.dueAt = grown ? Math.min(now, dueAt) : dueAt;
      task.turn++;
      task.lost = 0;
      task.stuck = next.stuck ?? null;
      if (!next.listens) task.owner = null;
      return;
    }
    case 'continued':
      return goOn(t, one, next, task, run, now);
    default:
      end(t, run, task.fence, next.to, now);
      if (next.to === 'completed') {
        run.result = next.result;
        t.changed(run, 'result');
      }
      if (next.to === 'failed') run.error = next.error;
  }
}

function count(t: MemoryTables, run: RunRow, rollbacks: number | null, attempt: number | undefined): void {
  if (attempt !== undefined) run.attempt = attempt;
  if (rollbacks === null) return;
  run.rollbacks = Math.max(run.rollbacks, rollbacks);
  t.changed(run, 'rollbacks');
}

/** A journaled row never changes; a repeated statement takes nothing back that was answered or tried since. */
const isOpen = (known: JournalRow | undefined, row: JournalRow): boolean =>
  !known ||
  (known.state === 'pending' && known.attempts <= row.attempts) ||
  (known.state === 'answered' && row.state === 'journaled');

function writeRow(t: MemoryTables, execution: string, row: JournalRow): boolean {
  const known = t.steps.get(execution)?.get(row.key);
  if (!isOpen(known, row)) return false;
  const { name, kind, askedAt, event, digest } = known ?? row;
  t.putStep(execution, { ...row, name, kind, askedAt, event, digest });
  return true;
}

function end(
  t: MemoryTables,
  run: RunRow,
  fence: number,
  how: 'completed' | 'failed' | 'cancelled' | 'continued',
  now: number,
): void {
  for (const message of t.inbox(run.execution)) t.removeMessage(message);
  for (const task of t.tasksIn(run.execution)) t.removeTask(task);
  t.endRun(run, how, now, fence);
}

/** The run goes on as a new execution, with the events that it was not given; those it was given stay away from it. */
function goOn(
  t: MemoryTables,
  one: AdvanceCommit,
  next: Extract<AdvanceCommit['next'], { to: 'continued' }>,
  task: TaskRow,
  run: RunRow,
  now: number,
): void {
  const inbox = t.inbox(run.execution);
  const taken = new Set(t.stepsOf(run.execution).flatMap(({ eventId }) => eventId ?? []));
  for (const { kind, eventId } of inbox) if (kind === 'taken') taken.add(eventId);
  run.isCurrent = false;
  const successor = t.addRun({
    ...run,
    ...NEW_RUN,
    payload: next.payload,
    createdAt: now,
    deadlineAt: next.deadlineInMs === null ? null : now + next.deadlineInMs,
  });
  for (const message of inbox) {
    if (message.kind === 'event' && !taken.has(message.eventId)) t.moveMessage(message, successor.execution);
  }
  end(t, run, one.fence, 'continued', now);
  for (const eventId of taken) {
    const kept = t.messages.get(eventId);
    if (!kept || kept.execution !== null || kept.expiresAt! <= now) continue;
    const id = copyId(eventId, successor.execution);
    const { event, data } = { event: '', data: '' };
    t.addMessage({
      id,
      execution: successor.execution,
      kind: 'taken',
      event,
      eventId,
      key: null,
      data,
      createdAt: now,
      expiresAt: null,
    });
  }
  const { workflow, version, priority, flowKey, execution } = successor;
  const queue = queueOf(workflow, version);
  t.addTask({ execution, queue, kind: 'advance', stepKey: '', flowKey, priority, dueAt: now });
}

/** Statement `answer`: the results of step tasks, and failed attempts that are tried again. */
export function answer(t: MemoryTables, commits: readonly StepCommit[], now: number): CommitResult[] {
  const owned = commits.map((one) => ({ one, task: held(t, one) }));
  return owned.map(({ one, task }): CommitResult => {
    if (!task) return 'lost';
    t.wrote(one, null);
    const { row, retryAt } = one;
    const known = t.steps.get(one.execution)?.get(row.key);
    if (known?.state === 'pending') {
      const { answer: given, attempts, finishedAt, request } = row;
      const state = retryAt === null ? 'answered' : 'pending';
      if (state === 'answered' && given === null)
        throw new MemoryStoreError('violates workflow_step_one_answer', 'poison');
      t.putStep(one.execution, {
        ...known,
        state,
        answer: given,
        attempts,
        finishedAt,
        wakeAt: retryAt,
        request,
      });
    }
    if (retryAt !== null) {
      task.owner = null;
      task.fence++;
      task.turn = task.lost = 0;
      task.dueAt = retryAt;
      return 'committed';
    }
    t.removeTask(task);
    const advance = t.advanceOf(one.execution);
    if (advance) t.wake(advance, now);
    return 'committed';
  });
}
