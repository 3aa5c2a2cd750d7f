import type { StepContext, WorkflowContext, WorkflowHandler } from '../../../lib/authoring/index.js';
import { NonRetryableError } from '../../../lib/engine/errors.js';
import type { Op, Program } from './program.js';

/** What the code of runs may do to the world around it. */
export interface Host {
  /** virtual ms, of the process that executes */
  pause(ms: number): Promise<void>;
  /** a value that no execution had before */
  token(): string;
  record(entry: CodeEntry): void;
}

/** A key, and what the code was given for it. */
export type Seen = readonly [key: string, value: string];

/** What the code of a run does and sees, where it happens. */
export type CodeEntry =
  | {
      readonly is: 'begins';
      readonly life: string;
      readonly key: string;
      readonly execution: string;
      readonly attempt: number;
      readonly after: readonly Seen[];
    }
  | {
      readonly is: 'gives';
      readonly life: string;
      readonly key: string;
      readonly execution: string;
      readonly attempt: number;
      readonly value: string | null;
    }
  | { readonly is: 'sees'; readonly life: string; readonly key: string; readonly value: string }
  | { readonly is: 'undoable'; readonly life: string; readonly key: string };

const RETRY = { retries: 3, backoff: { initial: '200ms', factor: 2, max: '2s' } } as const;
const CHILD = 'program';
/** Of the URL of a call: who calls, and how often it fails before. */
export const callUrl = (life: string, key: string, fails: number): string =>
  `https://api.test/${encodeURIComponent(life)}/${key}?fails=${fails}`;

/** Executes programs. One object serves one process. */
export class ProgramWorkflow implements WorkflowHandler<Program, string> {
  constructor(private readonly host: Host) {}

  run(ctx: WorkflowContext<Program>): Promise<string> {
    return new Interpretation(this.host, ctx).result();
  }
}

/** One activation of one run: what it has seen so far is what any further step depends on. */
class Interpretation {
  readonly #seen: Seen[] = [];
  readonly #life: string;

  constructor(
    private readonly host: Host,
    private readonly ctx: WorkflowContext<Program>,
  ) {
    this.#life = ctx.payload.life;
  }

  async result(): Promise<string> {
    const value = await this.#all(this.ctx.payload.body);
    return `${this.#life}=${value}`;
  }

  async #all(ops: readonly Op[]): Promise<string> {
    let last = '';
    for (const op of ops) last = await this.#one(op);
    return last;
  }

  #sees(key: string, value: unknown): string {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    this.#seen.push([key, text]);
    this.host.record({ is: 'sees', life: this.#life, key, value: text });
    return text;
  }

  /** The journal's answer to this key, or how it failed: both are what the code goes on with. */
  async #ask(key: string, asked: Promise<unknown>, tolerant = false): Promise<string> {
    let value: unknown;
    try {
      value = await asked;
    } catch (error) {
      const { name, message } = error as Error;
      this.#sees(key, `${name}: ${message}`);
      if (tolerant) return 'failed';
      throw error;
    }
    return this.#sees(key, value);
  }

  async #one(op: Op): Promise<string> {
    const { ctx, host } = this;
    switch (op.do) {
      case 'step':
        return this.#ask(op.key, ctx.run(op.key, this.#work(op), RETRY), op.tolerant);
      case 'all':
        return (await Promise.all(op.branches.map((ops) => this.#all(ops)))).join('+');
      case 'race':
        return Promise.race(op.branches.map((ops) => this.#all(ops)));
      case 'sleep':
        return this.#ask(
          op.key,
          ctx.sleep(op.key, `${op.ms}ms`).then(() => 'slept'),
        );
      case 'wait':
        return this.#ask(
          op.key,
          op.timeoutMs === null
            ? ctx.waitForEvent(op.key, op.event)
            : ctx.waitForEvent(op.key, op.event, { timeout: `${op.timeoutMs}ms` }),
        );
      case 'notify':
        return this.#ask(
          op.key,
          ctx.notify(op.key, op.event, op.key, { keepFor: `${op.keepForMs}ms` }).then(() => 'sent'),
        );
      case 'call': {
        const request = { url: callUrl(this.#life, op.key, op.fails), ...RETRY };
        return this.#ask(op.key, ctx.call(op.key, request), true);
      }
      case 'invoke':
        return this.#ask(
          op.key,
          ctx.invoke(
            op.key,
            CHILD as never,
            op.child as never,
            { onParentCancel: op.abandon ? 'abandon' : 'cancel' } as never,
          ),
          true,
        );
      case 'poll':
        return this.#ask(
          op.key,
          ctx.poll(
            op.key,
            async (step) => {
              const token = await this.#execute(op.key, 0, 0, step);
              return step.attempt >= op.looks ? token : undefined;
            },
            { every: '700ms', timeout: '1m' },
          ),
          true,
        );
      case 'draw':
        return this.#sees(op.key, `${ctx.random()} ${ctx.uuid()} ${ctx.now().getTime()}`);
      case 'undo':
        host.record({ is: 'undoable', life: this.#life, key: op.key });
        ctx.onRollback(
          op.key,
          (step) => this.#execute(op.key, op.ms, op.fails, step).then(() => undefined),
          RETRY,
        );
        return '';
      case 'throw':
        if (ctx.attempt > op.attempts) return '';
        throw op.final ? new NonRetryableError(op.key) : new Error(op.key);
      case 'cancel':
        return ctx.cancel();
      case 'continue':
        return ctx.continueAsNew(op.next);
    }
  }

  #work(op: { readonly key: string; readonly ms: number; readonly fails: number }) {
    const after = [...this.#seen];
    return (step: StepContext) => this.#execute(op.key, op.ms, op.fails, step, after);
  }

  async #execute(
    key: string,
    ms: number,
    fails: number,
    step: StepContext,
    after: readonly Seen[] = [],
  ): Promise<string> {
    const { host } = this;
    const { attempt, idempotencyKey } = step;
    const execution = executionOf(idempotencyKey, step.step);
    const at = { life: this.#life, key: step.step, execution, attempt };
    host.record({ is: 'begins', ...at, after });
    if (ms > 0) await host.pause(ms);
    const value = attempt <= fails ? null : `${key}#${host.token()}`;
    host.record({ is: 'gives', ...at, value });
    if (value === null) throw new Error(`${key} fails`);
    return value;
  }
}

/** An idempotency key is `run/execution/step`, where run and step may have slashes. */
function executionOf(idempotencyKey: string, step: string): string {
  return idempotencyKey
    .slice(0, -step.length - 1)
    .split('/')
    .at(-1)!;
}
