import { Injectable } from '@nestjs/common';
import { scheduledRunId, scheduleLabel } from '../engine/schedule.js';
import { Chance, Codec, type ScheduleRecord, type TriggerRow } from '../ports/index.js';
import { computedPayload, runLimits, WorkflowRegistry } from '../registry/index.js';

/** The runs of schedules, as they are inserted. */
@Injectable()
export class ScheduledRuns {
  constructor(
    private readonly registry: WorkflowRegistry,
    private readonly codec: Codec,
    private readonly chance: Chance,
  ) {}

  /** @throws WorkflowError WF_NOT_SERIALIZABLE, WF_TOO_LARGE, WF_INVALID_SCHEDULE, or what the payload function throws */
  of(schedule: ScheduleRecord, at: number): TriggerRow {
    const definition = this.registry.resolve(schedule.workflow);
    const { name, version, timeoutMs } = definition;
    const runId = scheduledRunId(schedule.id, at);
    const payload = schedule.payload ?? this.#computed(schedule.id, at);
    return {
      triggerId: this.chance.uuid(),
      runId,
      workflow: name,
      version,
      payload,
      labels: [scheduleLabel(schedule.id), ...schedule.labels],
      due: { inMs: 0 },
      deadlineInMs: timeoutMs,
      owner: null,
      parent: null,
      ...runLimits(definition, runId, this.codec.decode(payload)),
    };
  }

  #computed(id: string, at: number): string {
    const slot = { schedule: id, scheduledAt: new Date(at) };
    const payload = computedPayload(this.registry.schedules.get(id), slot);
    return this.codec.encode(payload, `payload of schedule "${id}"`);
  }
}
