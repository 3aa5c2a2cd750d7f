import type { ScheduleSlot } from '../authoring/index.js';
import { WorkflowError } from '../errors/index.js';
import type { ScheduleDefinition } from './definition.js';

/** The payload that a schedule's function makes of a time. @throws WorkflowError WF_INVALID_SCHEDULE, or what the function throws */
export function computedPayload(definition: ScheduleDefinition | undefined, slot: ScheduleSlot): unknown {
  const make = definition?.payload;
  if (typeof make !== 'function') {
    throw new WorkflowError(
      'WF_INVALID_SCHEDULE',
      `The function that makes the payload of schedule "${slot.schedule}" is not in the code of this process`,
    );
  }
  const payload = (make as (slot: ScheduleSlot) => unknown)(slot);
  if (!(payload instanceof Promise)) return payload;
  payload.catch(() => {});
  throw new WorkflowError(
    'WF_INVALID_SCHEDULE',
    `The payload function of schedule "${slot.schedule}" gives a promise; it must give the payload at once`,
  );
}
