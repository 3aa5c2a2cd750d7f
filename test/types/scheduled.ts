import {
  Schedule,
  Workflow,
  WorkflowClient,
  WorkflowContext,
  WorkflowSchedules,
  type ScheduleInfo,
  type ScheduleOptions,
} from 'nestjs-workflow';

type Report = { day: Date; full?: boolean };

@Schedule({ cron: '30 2 * * *', timezone: 'Europe/Berlin', payload: { day: new Date(0), full: true } })
@Schedule({ name: 'b', every: '1.5h', overlap: 'cancel-previous', payload: { day: new Date(0) } })
@Schedule({
  name: 'c',
  every: '1d',
  catchUp: 'skip',
  payload: ({ scheduledAt, schedule }) => ({ day: scheduledAt, full: schedule === 'c' }),
})
@Workflow({ name: 'report' })
export class WithPayload {
  async run(ctx: WorkflowContext<Report>) {
    return ctx.payload.full ?? false;
  }
}

@Schedule({ cron: '@daily', labels: ['x'] })
@Workflow({ name: 'without' })
export class Without {
  async run(ctx: WorkflowContext<void>) {
    return ctx.runId;
  }
}

@Schedule({ every: '1h' })
@Workflow({ name: 'no-context' })
export class NoContext {
  async run() {
    return 1;
  }
}

@Schedule({ every: '1h' })
@Schedule({ every: '2h', payload: [1, 'a'] })
@Workflow({ name: 'anything' })
export class Anything {
  async run(ctx: WorkflowContext) {
    return ctx.payload;
  }
}

// @ts-expect-error the payload is missing
@Schedule({ every: '1h' })
// @ts-expect-error it is another one
@Schedule({ every: '1h', payload: { day: 'monday' } })
// @ts-expect-error a part of it is missing
@Schedule({ every: '1h', payload: {} })
// @ts-expect-error the function makes another one
@Schedule({ every: '1h', payload: ({ scheduledAt }) => scheduledAt })
// @ts-expect-error neither cron nor every
@Schedule({ payload: { day: new Date(0) } })
// @ts-expect-error both
@Schedule({ cron: '* * * * *', every: '1h', payload: { day: new Date(0) } })
// @ts-expect-error an interval has no zone
@Schedule({ every: '1h', timezone: 'UTC', payload: { day: new Date(0) } })
// @ts-expect-error no such policy
@Schedule({ every: '1h', overlap: 'never', payload: { day: new Date(0) } })
// @ts-expect-error a bare number is no duration
@Schedule({ every: 3600, payload: { day: new Date(0) } })
@Workflow({ name: 'wrong' })
export class Wrong {
  async run(ctx: WorkflowContext<Report>) {
    return ctx.payload;
  }
}

// @ts-expect-error not a workflow
@Schedule({ every: '1h' })
export class NoWorkflow {}

const options: ScheduleOptions<Report> = { every: '1h', payload: { day: new Date(0) } };

export async function manage(client: WorkflowClient, schedules: WorkflowSchedules) {
  const made: ScheduleInfo = await client.schedules.create(WithPayload, {
    id: 'a',
    every: '1h',
    payload: { day: new Date(0) },
  });
  await schedules.create(Without, { id: 'b', cron: '0 * * * *', timezone: 'Asia/Tokyo' });
  await schedules.create('by-name', { id: 'c', every: '1h', payload: 7 });
  await schedules.create(NoContext, { id: 'd', every: '1h' });
  // @ts-expect-error the payload is missing
  await schedules.create(WithPayload, { id: 'e', every: '1h' });
  // @ts-expect-error it is another one
  await schedules.create(WithPayload, { id: 'e', every: '1h', payload: { day: 1 } });
  // @ts-expect-error the id is missing
  await schedules.create(Without, { every: '1h' });
  // @ts-expect-error a function stands in the code only
  await schedules.create(WithPayload, { id: 'e', every: '1h', payload: () => ({ day: new Date(0) }) });
  const { runId }: { runId: string } = await schedules.trigger(made.id);
  const next: Date | null = (await schedules.get('a')).nextAt;
  const { schedules: page, cursor } = await schedules.list({ workflow: WithPayload, limit: 10 });
  void [runId, next, page, cursor, options];
}
