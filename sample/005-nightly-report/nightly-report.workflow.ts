import {
  ChildFailedError,
  Schedule,
  Workflow,
  type WorkflowContext,
  type WorkflowHandler,
} from 'nestjs-workflow';
import { AccountClosed, CustomersService } from './customers.service.js';
import type { Day, Report } from './report.js';
import { WriteStatement } from './write-statement.workflow.js';

/** At night in Berlin, also when the clocks are changed; after a downtime only the latest night is made up for. */
@Schedule({
  cron: '30 2 * * *',
  timezone: 'Europe/Berlin',
  overlap: 'queue',
  payload: ({ scheduledAt }) => ({ day: dayBefore(scheduledAt) }),
})
@Workflow({ name: 'nightly-report' })
export class NightlyReport implements WorkflowHandler<Day, Report> {
  constructor(private readonly customers: CustomersService) {}

  async run(ctx: WorkflowContext<Day>): Promise<Report> {
    const { day } = ctx.payload;
    const customers = await this.customers.list();

    // a run of its own for each, with its own retries; the database of the bookings bears twenty at a time
    const flowControl = { key: 'bookings', parallelism: 20 };
    const settled = await Promise.allSettled(
      customers.map((customer) =>
        ctx.invoke(`statement ${customer}`, WriteStatement, { customer, day }, { flowControl }),
      ),
    );

    const report: Report = {
      day,
      customers: customers.length,
      statements: 0,
      turnover: 0,
      closed: [],
      failed: [],
    };
    settled.forEach((outcome, i) => {
      if (outcome.status === 'fulfilled') {
        report.statements += 1;
        report.turnover += outcome.value.turnover;
        return;
      }
      const reason: unknown = outcome.reason;
      if (!(reason instanceof ChildFailedError)) throw reason;
      (reason.is(AccountClosed) ? report.closed : report.failed).push(customers[i]!);
    });
    return report;
  }
}

/** The date in Berlin that ends with this night. */
function dayBefore(night: Date): string {
  const yesterday = new Date(night.getTime() - 12 * 3_600_000);
  return yesterday.toLocaleDateString('sv-SE', { timeZone: 'Europe/Berlin' });
}
