import { Workflow, type WorkflowContext, type WorkflowHandler } from 'nestjs-workflow';
import { ArchiveService } from './archive.service.js';
import { CustomersService } from './customers.service.js';
import type { Statement, StatementRequest } from './report.js';

@Workflow({ name: 'write-statement' })
export class WriteStatement implements WorkflowHandler<StatementRequest, Statement> {
  constructor(
    private readonly customers: CustomersService,
    private readonly archive: ArchiveService,
  ) {}

  async run({ payload: { customer, day } }: WorkflowContext<StatementRequest>): Promise<Statement> {
    const statement = { customer, turnover: await this.customers.turnover(customer, day) };
    await this.archive.store(day, statement);
    return statement;
  }
}
