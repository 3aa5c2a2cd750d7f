import { readWebhookSpec, webhookEvent } from '../../../lib/engine/webhook.js';
import type {
  LiveWebhook,
  NotifyRequest,
  OwnedRun,
  Taker,
  WaiterRecord,
  WebhookCallRequest,
} from '../../../lib/ports/index.js';
import { forgetIdleKeys } from './flowing.js';
import type { MemoryTables, MessageRow, RunRow, TaskRow } from './tables.js';
import { own } from './owning.js';
import { copyId } from './tasks.js';
import { owesSingletons } from './triggering.js';

const messageOf = (
  request: Pick<NotifyRequest, 'eventId' | 'event' | 'data'>,
  id: string,
  execution: string | null,
  createdAt: number,
  expiresAt: number | null = null,
): MessageRow => {
  const { eventId, event, data } = request;
  return { id, execution, kind: 'event', event, eventId, key: null, data, createdAt, expiresAt };
};

const waitsFor = (t: MemoryTables, execution: string, event: string): boolean =>
  t.stepsOf(execution).some((step) => step.state === 'pending' && step.event === event);

const active = (t: MemoryTables): RunRow[] => [...t.active.values()].toSorted((a, b) => a.id - b.id);

/** Statement `notifyRun`; undefined when there is no such run. */
export function notifyRun(
  t: MemoryTables,
  runId: string,
  request: NotifyRequest,
  taker: Taker | null,
  now: number,
): { active: boolean; waits: boolean; owned: OwnedRun[] } | undefined {
  const run = t.current.get(runId);
  if (!run) return undefined;
  const task = t.advanceOf(run.execution);
  if (task) {
    t.addMessage(messageOf(request, request.eventId, run.execution, now));
    t.wake(task, now);
  }
  const waits = waitsFor(t, run.execution, request.event);
  return { active: task !== undefined, waits, owned: task ? own(t, [task], taker, now) : [] };
}

/** Statement `keepEvent`. */
export function keepEvent(t: MemoryTables, request: NotifyRequest, now: number): void {
  t.addMessage(messageOf(request, request.eventId, null, now, now + request.keepForMs!));
}

/** Statement `notifyWaiters`. */
export function notifyWaiters(
  t: MemoryTables,
  request: NotifyRequest,
  taker: Taker | null,
  now: number,
): { woken: string[]; owned: OwnedRun[] } {
  const woken: string[] = [];
  const tasks: TaskRow[] = [];
  for (const { execution, runId } of active(t)) {
    const task = t.advanceOf(execution);
    if (!task || !waitsFor(t, execution, request.event)) continue;
    t.addMessage(messageOf(request, copyId(request.eventId, execution), execution, now));
    t.wake(task, now);
    woken.push(runId);
    tasks.push(task);
  }
  return { woken, owned: own(t, tasks, taker, now) };
}

/** Statement `collectKept`. */
export function collectKept(
  t: MemoryTables,
  execution: string,
  events: readonly string[],
  fence: number | null,
  now: number,
): boolean {
  const kept = [...t.kept].filter(
    ({ event, eventId, expiresAt }) =>
      events.includes(event) && expiresAt! > now && !t.hasTaken(execution, eventId),
  );
  const task = t.advanceOf(execution);
  const gives = task !== undefined && task.fence === fence;
  if (!task || (kept.length === 0 && !gives)) return false;
  let found = 0;
  for (const one of kept)
    if (t.addMessage(messageOf(one, copyId(one.eventId, execution), execution, one.createdAt))) found++;
  if (found > 0) t.wake(task, now, found);
  if (gives) task.owner = null;
  return found > 0 || (gives && task.dueAt <= now);
}

/** Part of the statements `deliverKept` and `expire`: kept events for every run that waits and has not been given them. */
export function deliverKept(t: MemoryTables, which: (kept: MessageRow) => boolean, now: number): boolean {
  let delivered = false;
  const kept = [...t.kept].filter((one) => one.expiresAt! > now && which(one));
  for (const one of kept) {
    for (const { execution } of active(t)) {
      const task = t.advanceOf(execution);
      const waiting = t
        .stepsOf(execution)
        .some((step) => step.state === 'pending' && step.event === one.event && step.eventId === null);
      if (!task || !waiting || t.hasTaken(execution, one.eventId)) continue;
      const copy = messageOf(one, copyId(one.eventId, execution), execution, one.createdAt);
      if (!t.addMessage(copy)) continue;
      t.wake(task, now);
      delivered = true;
    }
  }
  return delivered;
}

/** Statement `expire`. */
export function expire(t: MemoryTables, now: number): { delivered: boolean; owed: boolean } {
  const delivered = deliverKept(t, () => true, now);
  for (const kept of t.kept) if (kept.expiresAt! <= now) t.removeMessage(kept);
  forgetIdleKeys(t, now);
  return { delivered, owed: t.owing.size > 0 || owesSingletons(t) };
}

export function waiters(t: MemoryTables, event: string): WaiterRecord[] {
  return active(t)
    .flatMap(({ execution, runId, workflow }) =>
      t
        .stepsOf(execution)
        .filter((step) => step.state === 'pending' && step.event === event)
        .map(({ key, askedAt, wakeAt }) => ({
          runId,
          workflow,
          step: key,
          since: askedAt,
          timeoutAt: wakeAt,
        })),
    )
    .toSorted((a, b) => a.since - b.since);
}

export function findWebhook(t: MemoryTables, token: string): LiveWebhook | null {
  const hook = t.webhooks.get(webhookEvent(token));
  const run = hook && t.active.get(hook.execution);
  if (!hook || !run) return null;
  const { request } = t.steps.get(hook.execution)!.get(hook.key)!;
  const { runId, workflow, version } = run;
  return { ...readWebhookSpec(request!), token, runId, workflow, version };
}

/** Statement `callWebhook`. A run that sleeps and waits for no call now sleeps on. */
export function callWebhook(
  t: MemoryTables,
  { token, eventId, data }: WebhookCallRequest,
  now: number,
): 'due' | 'kept' | 'gone' {
  const event = webhookEvent(token);
  const hook = t.webhooks.get(event);
  const task = hook && t.advanceOf(hook.execution);
  if (!hook || !task) return 'gone';
  const sleepsOn = task.owner === null && !waitsFor(t, hook.execution, event);
  t.addMessage(messageOf({ eventId, event, data }, eventId, hook.execution, now));
  const { dueAt } = task;
  t.wake(task, now);
  if (sleepsOn) task.dueAt = dueAt;
  return sleepsOn ? 'kept' : 'due';
}
