import { CallError, type CallOutcome, type CallRequest } from '../../../lib/engine/call.js';
import { CallPerformer } from '../../../lib/ports/index.js';
import type { Dice } from './dice.js';
import type { SimulatedProcess } from './process.js';
import type { World } from './world.js';

const FAILS = /fails=(\d+)/;

/** APIs of others, as calls of one process find them: slow, failing as often as the URL says, and now and then out of reach. */
export class SimulatedCalls extends CallPerformer {
  constructor(
    private readonly world: World,
    private readonly process: SimulatedProcess,
    private readonly dice: Dice,
  ) {
    super();
  }

  perform(request: CallRequest, signal: AbortSignal): Promise<CallOutcome> {
    const key = request.headers['idempotency-key'] ?? '';
    const [runId, ...rest] = key.split('/');
    const step = rest.slice(1).join('/');
    const at = {
      life: decodeURIComponent(request.url.split('/')[3]!),
      key: step,
      execution: rest[0]!,
      attempt: 0,
    };
    this.process.record({ is: 'begins', ...at, after: [] });
    const made = this.world.calls.get(key) ?? 0;
    this.world.calls.set(key, made + 1);
    const fails = made < Number(FAILS.exec(request.url)?.[1] ?? 0);
    const outcome: CallOutcome = fails
      ? { ok: false, error: new CallError('WF_CALL_FAILED', `The call for ${runId} failed`) }
      : { ok: true, value: { status: 200, headers: {}, body: `${step}#${this.world.token()}` } };
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      this.world.time.after(this.process, this.dice.skewed(1, 15_000), () => {
        this.process.record({ is: 'gives', ...at, value: outcome.ok ? String(outcome.value.body) : null });
        resolve(outcome);
      });
    });
  }

  async close(): Promise<void> {}
}
