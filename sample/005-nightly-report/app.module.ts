import { Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { WorkflowModule } from 'nestjs-workflow';
import { WorkflowErrorFilter } from '../001-order/workflow-error.filter.js';
import { ArchiveService } from './archive.service.js';
import { CustomersService } from './customers.service.js';
import { NightlyReport } from './nightly-report.workflow.js';
import { ReportsController } from './reports.controller.js';
import { WriteStatement } from './write-statement.workflow.js';

@Module({
  imports: [
    WorkflowModule.forRoot({
      // shorter than the defaults, so that a process that was killed is missed soon
      worker: { heartbeat: '500ms', leaseTimeout: '2s' },
    }),
  ],
  controllers: [ReportsController],
  providers: [
    NightlyReport,
    WriteStatement,
    CustomersService,
    ArchiveService,
    { provide: APP_FILTER, useClass: WorkflowErrorFilter },
  ],
})
export class AppModule {}
