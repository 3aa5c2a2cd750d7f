import type { EntityManager } from 'typeorm';
import type { ResolvedFlow } from '../engine/flow-control.js';
import type { InboxMessage, JournalRow } from '../engine/journal.js';
import type { LiveWebhook } from './webhooks.js';
import type { Takeover } from '../engine/version.js';
import type { Singleton } from '../engine/singleton.js';

/** The header of a run, as an activation needs it. `execution` is the bigint id, decimal digits. Times are ms. */
export interface RunHeader {
  readonly execution: string;
  readonly runId: string;
  readonly workflow: string;
  readonly version: string | null;
  readonly payload: string;
  readonly labels: readonly string[];
  readonly attempt: number;
  readonly createdAt: number;
  readonly deadlineAt: number | null;
  /** how many ancestors it has */
  readonly depth: number;
  /** true: a parent waits for its result */
  readonly child: boolean;
  /** it holds this key, or waits for it */
  readonly singleton?: string | null;
  /** compensations that its code has registered */
  readonly rollbacks: number;
  /** true: it was cancelled, and ends once they are done */
  readonly cancelling: boolean;
}

/** How a run has ended, durably. */
export type EndedRun = Pick<RunRecord, 'runId' | 'status' | 'result' | 'error'>;

/** The right to work on a task: guards every write. */
export interface Lease {
  readonly taskId: string;
  readonly fence: number;
}

export interface Task extends Lease {
  readonly execution: string;
  readonly runId: string;
  readonly workflow: string;
  readonly version: string | null;
  /** key of the step; null for the task that advances the run */
  readonly step: string | null;
  /** `call`: made by the engine itself, no code of the application is called for it */
  readonly kind: 'advance' | 'step' | 'call';
  /** it has a flow-control key: whoever waits in that line is looked at when this lease ends */
  readonly flow?: boolean;
}

/** The run that invoked another. */
export interface Parent {
  readonly execution: string;
  /** key of the step whose answer is the child's result */
  readonly key: string;
  /** of the child: one more than that of its parent */
  readonly depth: number;
  /** the child is cancelled with its parent */
  readonly cascades: boolean;
}

/** Everything of a run beyond `position`, read in one snapshot under a lease. */
export interface Loaded {
  readonly header: RunHeader;
  readonly rows: readonly JournalRow[];
  readonly inbox: readonly InboxMessage[];
  /** the step that the task is for; none: it advances the run */
  readonly step?: string | null;
  /** how often something arrived for this run; compared again by the commit that suspends */
  readonly wanted: number;
  /** commits made under this fence so far */
  readonly turn: number;
  readonly gather: number;
  /** how often a process that worked on this task was lost without progress */
  readonly lost: number;
  /** the run has a flow-control key: whoever waits in that line is told when its lease ends @default false */
  readonly keyed?: boolean;
  /** the run's flow-control key has a rate: each step counts as a start, and needs a claim of its own */
  readonly paced?: boolean;
  /** ms of the database's clock when the reply came: what decides whether something is due */
  readonly now: number;
}

export interface LoadRequest extends Lease {
  /** journaled rows up to this position are known; 0 for all */
  readonly position: number;
}

export interface TriggerRow {
  /** made by the caller for each trigger call: tells an insert whose reply was lost from somebody else's run */
  readonly triggerId: string;
  readonly runId: string;
  readonly workflow: string;
  readonly version: string | null;
  readonly payload: string;
  readonly labels: readonly string[];
  /** ms from now, or an absolute time */
  readonly due: { readonly inMs: number } | { readonly at: number };
  readonly deadlineInMs: number | null;
  /** the worker that starts on it at once, without a claim */
  readonly owner: string | null;
  /** nothing is inserted when it has ended */
  readonly parent: Parent | null;
  /** of all its tasks; smaller first */
  readonly priority?: number;
  /** of its tasks; one that has any is never inserted with an `owner` */
  readonly flow?: ResolvedFlow | null;
  /** one that queues is never inserted with an `owner` */
  readonly singleton?: Singleton | null;
}

export interface Triggered {
  readonly created: boolean;
  readonly header: RunHeader;
  /** set when the run was inserted already leased to `owner` */
  readonly lease: Lease | null;
  readonly now: number;
  /** executions that were cancelled because this run (or another of the same call) replaces them */
  readonly cancelled?: readonly string[];
}

/** A task of a step or a call. */
export interface NewTask {
  readonly key: string;
  readonly dueAt: number;
  readonly kind: 'step' | 'call';
  /** null: as its run, if it is a step */
  readonly flow?: ResolvedFlow | null;
  /** the worker that executes it already: its task is inserted leased to it (see `leased`). Never of a run with a flow-control key */
  readonly owner?: string;
}

/** One durable flush of an activation. All of it is stored, or (lease lost) nothing. */
export interface AdvanceCommit extends Lease {
  /**
   * Promised by the caller: `next` continues, suspends (no retry of the run, not stuck), completes or fails; there are no `tasks`,
   * `consumed`, `rollbacks`; the run has no flow-control key; and when it ends, no task but its advance task was ever made for it.
   * A store may then take a shorter way with the same outcome.
   */
  readonly lean?: boolean;
  readonly execution: string;
  /** the `turn` that must hold; null where no second delivery under this fence is possible (in-process) */
  readonly turn: number | null;
  readonly wantedSeen: number;
  readonly rows: readonly JournalRow[];
  /** new tasks of steps and calls */
  readonly tasks: readonly NewTask[];
  readonly consumed: readonly string[];
  /** compensations registered by now, when there are more than the header knows */
  readonly rollbacks: number | null;
  readonly next:
    | { readonly to: 'continue' }
    | {
        readonly to: 'suspend';
        readonly dueAt: number | null;
        readonly attempt?: number;
        readonly stuck?: string;
        /** the run waits for events: the lease is kept until `collectKept` gives it back, so that a process that dies between
         * the two leaves a lease that the sweep finds, and not a wait that has missed what was kept for it */
        readonly listens?: boolean;
      }
    | { readonly to: 'completed'; readonly result: string }
    | { readonly to: 'failed'; readonly error: string }
    | { readonly to: 'cancelled' }
    /** a new execution of the same run begins with this payload */
    | { readonly to: 'continued'; readonly payload: string; readonly deadlineInMs: number | null };
}

/** The result of a step task: its answer, or a failed attempt that is tried again at `retryAt`. */
export interface StepCommit extends Lease {
  readonly execution: string;
  readonly row: JournalRow;
  readonly retryAt: number | null;
}

/** `due`: committed, and something arrived meanwhile: the task is due at once although the commit suspended it. */
export type CommitResult = 'committed' | 'due' | 'lost';

export interface Claimed {
  readonly tasks: readonly Task[];
  readonly now: number;
  /** the next moment at which something of these workflows becomes due; null when nothing is scheduled */
  readonly nextDueAt: number | null;
  /** the same for the lines of flow-control keys, where `claimFlow` looks; it may be past although nothing is found there */
  readonly flowDueAt: number | null;
  /** priorities in use among these workflows; null when this claim did not look (it had a floor) */
  readonly priorities: readonly number[] | null;
  /** due time of the oldest task that was looked at: none that is left is older. Null when none was due */
  readonly oldestDueAt?: number | null;
  /** due times of those of the tasks that are not due yet, by task id */
  readonly early?: ReadonlyMap<string, number>;
  /** what was read of the claimed tasks, by task id: each as a load under its lease would give it */
  readonly loads?: ReadonlyMap<string, Loaded>;
}

/** What a claim in the lines of flow-control keys has brought. */
export interface FlowClaimed {
  readonly tasks: readonly Task[];
  /** true: something was done, and another claim may find more */
  readonly progress: boolean;
}

/** A flow-control key as it stands. */
export interface FlowRecord {
  readonly key: string;
  readonly parallelism: number | null;
  readonly rate: number | null;
  readonly periodMs: number | null;
  readonly paused: boolean;
  readonly running: number;
  readonly waiting: number;
  readonly started: number;
}

/**
 * A worker that starts at once on runs which a statement wakes: no more than it has places for, of the queues that it serves. They
 * are leased to it by that very statement, where a claim of it could find them too.
 */
export interface Taker {
  readonly worker: string;
  readonly queues: readonly string[];
  readonly places: number;
  /** a run is read as well, where its journal has no more rows */
  readonly readRows: number;
}

/** A run that was leased by the statement that woke it. `loaded`: as a load under that lease would give it; null: it was not read. */
export interface OwnedRun {
  readonly task: Task;
  readonly loaded: Loaded | null;
}

/** What waits, wakes and ends: notify and its counterparts. */
export interface NotifyRequest {
  readonly eventId: string;
  readonly event: string;
  readonly data: string;
  readonly runId: string | null;
  readonly keepForMs: number | null;
}

/** A call of a webhook, encoded. */
export interface WebhookCallRequest {
  readonly token: string;
  /** made once for each call, greater than those made before: calls of one moment keep their order */
  readonly eventId: string;
  readonly data: string;
}

/** Where a run stands, as its users see it. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled';

export interface RunRecord extends RunHeader {
  readonly status: RunStatus;
  readonly result: string | null;
  readonly error: string | null;
  readonly finishedAt: number | null;
  readonly stuck: string | null;
}

export interface RunFilter {
  readonly runIds?: readonly string[];
  readonly workflow?: string;
  readonly status?: RunStatus;
  readonly label?: string;
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
  /** only those that cannot go on until somebody acts */
  readonly stuck?: true;
}

export interface WaiterRecord {
  readonly runId: string;
  readonly workflow: string;
  readonly step: string;
  readonly since: number;
  readonly timeoutAt: number | null;
}

export interface Notified {
  readonly woken: string[];
  readonly kept: boolean;
  /** leased to the taker; none without one */
  readonly owned?: readonly OwnedRun[];
}

/** What telling parents of their children has done. */
export interface Reported {
  /** ended runs that owe their parents nothing any more */
  readonly reported: number;
  /** parents were woken that nobody has leased */
  readonly due: boolean;
  readonly owned: readonly OwnedRun[];
}

/** What a pass after ends has done. */
export interface Settled {
  /** parents were told: something is due */
  readonly reported: number;
  /** executions that were cancelled with their parents */
  readonly cancelled: readonly string[];
}

/** How a failed statement is to be treated. */
export type StoreFault =
  /** connection lost, deadlock: the same statement again, unchanged */
  | 'transient'
  /** a transaction of somebody else holds a row or an id of the batch: the other items must not wait with it */
  | 'blocked'
  /** a value the database refuses: halve down to the culprit */
  | 'poison'
  | 'fatal';

/**
 * The durable side of the engine. Every method is one statement (one commit) unless it says otherwise, takes many
 * items at once, and is idempotent: after a lost connection the same call may be repeated unchanged.
 * Writes of a lease holder lock its task rows first, in order of id, and change nothing when the fence has moved on.
 */
export abstract class RunStore {
  /**
   * Inserts runs and their tasks. A run id that exists is returned as it is, `created: false`; null stands for a child whose
   * parent has ended, and for a run that was replaced meanwhile. With a manager: in its transaction.
   */
  abstract trigger(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]>;
  /**
   * The same for runs that belong together: when one of the ids exists with another workflow or payload, none is inserted, and
   * null stands for those that do not exist. With a manager: in the caller's transaction.
   */
  abstract triggerAll(rows: readonly TriggerRow[], manager?: EntityManager): Promise<(Triggered | null)[]>;
  /** null at the index of a lease that is lost. */
  abstract load(requests: readonly LoadRequest[]): Promise<(Loaded | null)[]>;
  abstract commit(commits: readonly AdvanceCommit[]): Promise<CommitResult[]>;
  abstract answer(commits: readonly StepCommit[]): Promise<CommitResult[]>;
  /** Steps of this execution whose tasks are leased to the worker. */
  abstract leased(execution: string, worker: string): Promise<(Lease & { readonly key: string })[]>;

  /**
   * Leases up to `limit` due tasks of these workflows to the worker, and up to `calls` of their external calls. `floor`: skip what
   * was due before (see the statement). `readRows`: what is advanced is read as well, where its journal has no more rows @default 0:
   * nothing is read. Of these priorities, the smaller first @default 0 alone. Never what has a flow-control key.
   * `leadMs`: also what becomes due within so much time, to be started when it is @default 0
   */
  abstract claim(
    worker: string,
    workflows: readonly string[],
    limit: number,
    floor: number | null,
    calls?: number,
    priorities?: readonly number[],
    readRows?: number,
    leadMs?: number,
  ): Promise<Claimed>;
  /**
   * Leases tasks that wait in the lines of flow-control keys and may start: never more of a key than its limits allow, whoever
   * claims at the same time. One transaction of two statements. A key served once goes behind all other keys that are ready.
   */
  abstract claimFlow(
    worker: string,
    workflows: readonly string[],
    limit: number,
    calls?: number,
  ): Promise<FlowClaimed>;
  /** Nothing of the key starts from now on (true), or it does again (false). */
  abstract pauseFlow(key: string, paused: boolean): Promise<void>;
  /** One key, or (null) the keys after another, in their order. */
  abstract flows(key: string | null, after: string | null, limit: number): Promise<FlowRecord[]>;
  /** Gives leases back with fence + 1: what still writes under them is shut out. Due again in `delayMs`. `stuck`: why nothing could
   * be done, and nothing can until somebody acts; shown until the task gets on. */
  abstract release(leases: readonly Lease[], delayMs: number, stuck?: string): Promise<void>;
  /** Moves a lease to another worker without a new fence: the endpoint that executes it goes on alone. */
  abstract adopt(lease: Lease, worker: string): Promise<boolean>;
  /** An activation asked for a step after it was closed: due now, with a longer gather. */
  abstract reactivate(execution: string, late: boolean): Promise<void>;

  /** `serves`: the queues from which it claims. Again for one that is registered: it lives, and serves these. */
  abstract register(worker: string, host: string, pid: number, serves: readonly string[]): Promise<void>;
  /** Says that the worker lives; not alive when it was presumed dead and its leases were given away. Returns what is leased to it,
   * and which of `held` are still leased under that fence. */
  abstract beat(
    worker: string,
    held: readonly Lease[],
  ): Promise<{ alive: boolean; leases: Lease[]; valid: Lease[] }>;
  abstract unregister(worker: string): Promise<void>;
  /** Frees the tasks of workers silent for `timeoutMs`, never those of `worker` itself. Returns how many. */
  abstract sweep(worker: string, timeoutMs: number): Promise<number>;
  /** Deletes kept events that have expired, and delivers those that their sender left undelivered. `owed`: `settle` has work. */
  abstract expire(): Promise<{ delivered: boolean; owed: boolean }>;

  /**
   * Two statements for a broadcast: the kept event first, then the waiters, so that a wait that commits between them sees it. In a
   * caller's transaction nothing is leased to a taker.
   */
  abstract notify(request: NotifyRequest, manager?: EntityManager, taker?: Taker | null): Promise<Notified>;
  /** Gives a kept event to the runs whose wait was committed while the transaction that keeps it was open: neither saw the other. */
  abstract deliverKept(eventId: string): Promise<boolean>;
  /** Copies kept events for these names into the inbox of the run, and gives back the lease of a commit that `listens`. True
   * when there were some, or when something has arrived between that commit and this. */
  abstract collectKept(execution: string, events: readonly string[], lease?: Lease): Promise<boolean>;
  abstract waiters(event: string): Promise<WaiterRecord[]>;

  /** The webhook of this token; null when there is none, or its run has ended. */
  abstract webhook(token: string): Promise<LiveWebhook | null>;
  /**
   * Puts a call into the inbox of the webhook's run. `due`: that has something to do with it now; `kept`: it does not wait for a
   * call, and finds it when it does; `gone`, and nothing written: the run has ended.
   */
  abstract callWebhook(request: WebhookCallRequest): Promise<'due' | 'kept' | 'gone'>;

  /**
   * Ends active runs as cancelled; those with compensations are marked `cancelling` instead, and due at once. Returns the
   * executions that were. A run that is being cancelled already is left alone. `filter` must not be empty. With a manager: in its
   * transaction.
   */
  abstract cancel(
    filter: RunFilter,
    manager?: EntityManager,
  ): Promise<{ execution: string; runId: string }[]>;
  /**
   * Pays what is owed after ends: parents are told of their children, children of cancelled runs are cancelled, what came into an
   * inbox in the moment of an end is deleted. Several statements, each whole in itself; whoever calls it next goes on where another stopped.
   */
  abstract settle(): Promise<Settled>;
  /** The first part of it alone: parents are told, some hundred of their children at most. */
  abstract report(taker: Taker | null): Promise<Reported>;
  /** Of children whose parents have stored how they ended, without having been told by a message: nothing is owed any more. */
  abstract markReported(children: readonly string[]): Promise<void>;
  /**
   * Lets the oldest run that waits for a singleton key start, where no active run holds it: of these keys, or (null) of all.
   * Returns how many. `trigger` does it for what it inserts, but in a caller's transaction.
   */
  abstract handOver(keys: readonly string[] | null): Promise<number>;
  /**
   * Lets stuck runs be tried at once. With a version (null: without one) all of them, stuck or not, and in that version from now
   * on: leases on their code are taken away. Returns those that were; runs that have ended are left alone.
   */
  abstract resume(
    runIds: readonly string[],
    version?: string | null,
  ): Promise<{ execution: string; runId: string }[]>;
  /** Queues in which tasks wait and that no registered worker serves; none while no worker claims at all. */
  abstract unserved(): Promise<string[]>;
  /** Moves runs that wait in these queues to another version, some hundred at most. Returns how many. */
  abstract takeOver(moves: readonly Takeover[]): Promise<number>;
  abstract find(runId: string): Promise<RunRecord | null>;
  abstract list(filter: RunFilter, limit: number, before: string | null): Promise<RunRecord[]>;
  abstract journal(runId: string): Promise<JournalRow[] | null>;
  /** Of these runs, those that have ended. */
  abstract ended(runIds: readonly string[]): Promise<RunRecord[]>;

  abstract fault(error: unknown): StoreFault;
}
