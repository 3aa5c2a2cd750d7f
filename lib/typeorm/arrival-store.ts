import type { EntityManager } from 'typeorm';
import { readWebhookSpec, webhookEvent } from '../engine/webhook.js';
import { WorkflowError } from '../errors/index.js';
import type {
  Lease,
  LiveWebhook,
  Notified,
  NotifyRequest,
  Reported,
  Taker,
  WaiterRecord,
  WebhookCallRequest,
} from '../ports/index.js';
import { FlowStore } from './flow-store.js';
import { readOwned, type ReadColumns } from './read-loads.js';
import type { TaskColumns } from './row-mapping.js';
import * as sql from './statements/index.js';

/** How often a run is looked for that goes on as a new execution just then. */
export const LOOKS = 20;

const NO_TAKER = { worker: null, queues: [], places: 0, readRows: 0 };

/** The part of the store by which something arrives for runs that wait: events, calls of webhooks, ends of children. */
export abstract class ArrivalStore extends FlowStore {
  async notify(
    request: NotifyRequest,
    manager?: EntityManager,
    taker: Taker | null = null,
  ): Promise<Notified> {
    const { eventId, event, data, runId, keepForMs } = request;
    const { worker, queues, places, readRows } = (manager ? null : taker) ?? NO_TAKER;
    const lag = this.lag();
    if (runId !== null) {
      const values = [this.now(), runId, eventId, event, data, worker, queues, readRows];
      let run: NotifiedColumns | undefined;
      for (let look = 0; look < LOOKS; look++) {
        [run] = await this.query<NotifiedColumns>(sql.notifyRun, values, manager);
        if (!run?.moved) break;
      }
      if (!run) throw new WorkflowError('WF_RUN_NOT_FOUND', `There is no run ${runId} to notify`);
      const woken = run.active && run.waits ? [runId] : [];
      return { woken, kept: run.active && !run.waits, ...(taker && { owned: readOwned([run], lag()) }) };
    }
    if (keepForMs !== null)
      await this.query(sql.keepEvent, [this.now(), eventId, event, data, keepForMs], manager);
    const values = [this.now(), eventId, event, data, worker, queues, places, readRows];
    const rows = await this.query<WaiterColumns>(sql.notifyWaiters, values, manager);
    return {
      woken: rows.map((row) => row.run_id),
      kept: keepForMs !== null && rows.length === 0,
      ...(taker && {
        owned: readOwned(
          rows.filter((row) => row.is_taken),
          lag(),
        ),
      }),
    };
  }

  async collectKept(execution: string, events: readonly string[], lease?: Lease): Promise<boolean> {
    const [row] = await this.query<{ due: boolean }>(sql.collectKept, [
      this.now(),
      execution,
      events,
      lease?.fence ?? null,
    ]);
    return row!.due;
  }

  async deliverKept(eventId: string): Promise<boolean> {
    return (await this.query(sql.deliverKept, [this.now(), eventId])).length > 0;
  }

  async waiters(event: string): Promise<WaiterRecord[]> {
    const rows = await this.query<{
      run_id: string;
      workflow: string;
      key: string;
      since: number;
      timeout_at: number | null;
    }>(sql.waiters, [event]);
    return rows.map((row) => ({
      runId: row.run_id,
      workflow: row.workflow,
      step: row.key,
      since: row.since,
      timeoutAt: row.timeout_at,
    }));
  }

  async webhook(token: string): Promise<LiveWebhook | null> {
    const [row] = await this.query<{
      run_id: string;
      workflow: string;
      version: string | null;
      request: string;
    }>(sql.findWebhook, [webhookEvent(token)]);
    if (!row) return null;
    const { run_id: runId, workflow, version, request } = row;
    return { ...readWebhookSpec(request), token, runId, workflow, version };
  }

  async callWebhook({ token, eventId, data }: WebhookCallRequest): Promise<'due' | 'kept' | 'gone'> {
    const values = [this.now(), webhookEvent(token), eventId, data];
    const [row] = await this.query<{ due: boolean }>(sql.callWebhook, values);
    return row === undefined ? 'gone' : row.due ? 'due' : 'kept';
  }

  async report(taker: Taker | null): Promise<Reported> {
    const { worker, queues, places, readRows } = taker ?? NO_TAKER;
    const values = [this.now(), worker, queues, places, readRows];
    const lag = this.lag();
    const rows = await this.query<ReportedColumns>(sql.reportChildren, values);
    const { reported, due } = rows[0]!;
    return { reported, due, owned: readOwned(rows, lag()) };
  }

  async markReported(children: readonly string[]): Promise<void> {
    await this.query(sql.markReported, [children]);
  }
}

interface NotifiedColumns extends TaskColumns, ReadColumns {
  active: boolean;
  waits: boolean;
  moved: boolean;
}

interface WaiterColumns extends TaskColumns, ReadColumns {
  is_taken: boolean;
}

interface ReportedColumns extends TaskColumns, ReadColumns {
  reported: number;
  due: boolean;
}
