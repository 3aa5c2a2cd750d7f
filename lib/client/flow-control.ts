import { Inject, Injectable } from '@nestjs/common';
import { formatDuration, type Duration } from '../engine/duration.js';
import { checkKey } from '../engine/flow-control.js';
import { given } from '../engine/given.js';
import { RunIntake, RunStore, type FlowRecord } from '../ports/index.js';
import { checkLimit, checkOptions } from './arguments.js';
import { refuseInRun } from './side-effects.js';

/** A flow-control key at this moment. */
export interface FlowControlInfo {
  readonly key: string;
  /** limits as they were seen last; absent where there is none */
  readonly parallelism?: number;
  readonly rate?: number;
  readonly period?: Duration;
  readonly paused: boolean;
  /** tasks that are executed now */
  readonly running: number;
  /** tasks that are due and wait in line */
  readonly waiting: number;
  /** starts that count for the rate now */
  readonly started: number;
}

/** Which keys `client.flowControl.list` gives, and how many at a time. */
export interface FlowControlQuery {
  /** 1 to 1000 @default 100 */
  limit?: number;
  /** only keys that come after this one: the last of the page before */
  after?: string;
}

/** The keys of flow control, also as `client.flowControl`. */
@Injectable()
export class WorkflowFlowControls {
  constructor(
    @Inject(RunStore) private readonly store: RunStore,
    @Inject(RunIntake) private readonly intake: RunIntake,
  ) {}

  /**
   * From now on nothing of the key starts, in any process; what is executed goes on. Also for a key that nothing uses yet.
   * @throws WorkflowError WF_INVALID_FLOW_CONTROL, WF_SIDE_EFFECT_IN_RUN
   */
  async pause(key: string): Promise<void> {
    refuseInRun('flowControl.pause');
    const checked = checkKey(key, PAUSE);
    await this.intake.repeat(() => this.store.pauseFlow(checked, true));
  }

  /** The line goes on. A key that is not paused stays as it is. @throws as `pause` */
  async resume(key: string): Promise<void> {
    refuseInRun('flowControl.resume');
    const checked = checkKey(key, PAUSE);
    await this.intake.repeat(() => this.store.pauseFlow(checked, false));
    this.intake.announceDue();
  }

  /** Null for a key that nothing uses: keys are forgotten a while after their last task. @throws WorkflowError WF_INVALID_FLOW_CONTROL */
  async info(key: string): Promise<FlowControlInfo | null> {
    const [record] = await this.store.flows(checkKey(key, '`info`'), null, 1);
    return record ? toInfo(record) : null;
  }

  /** In the order of the keys. Counts what waits: not for a tight loop. @throws WorkflowError WF_INVALID_ARGUMENT, WF_INVALID_FLOW_CONTROL */
  async list(query: FlowControlQuery = {}): Promise<FlowControlInfo[]> {
    const { limit, after } = given('The query', () => {
      const { limit = 100, after } = checkOptions(query, 'The conditions of `flowControl.list`');
      return { limit: checkLimit(limit), after: after === undefined ? null : checkKey(after, '`list`') };
    });
    const records = await this.store.flows(null, after, limit);
    return records.map(toInfo);
  }
}

const PAUSE = '`pause` and `resume`';

const toInfo = ({ parallelism, rate, periodMs, ...rest }: FlowRecord): FlowControlInfo => ({
  ...rest,
  ...(parallelism !== null && { parallelism }),
  ...(rate !== null && { rate }),
  ...(periodMs !== null && { period: formatDuration(periodMs) }),
});
