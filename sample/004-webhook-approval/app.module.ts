import { Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { WorkflowModule } from 'nestjs-workflow';
import { WorkflowErrorFilter } from '../001-order/workflow-error.filter.js';
import { ApproveExpense } from './approve-expense.workflow.js';
import { ExpensesController } from './expenses.controller.js';
import { MailboxController } from './mailbox.controller.js';
import { Mailbox } from './mailbox.service.js';
import { settings } from './settings.js';

@Module({
  imports: [
    WorkflowModule.forRoot({ http: { publicUrl: settings.publicUrl, signingKey: settings.workflowKey } }),
  ],
  controllers: [ExpensesController, MailboxController],
  providers: [ApproveExpense, Mailbox, { provide: APP_FILTER, useClass: WorkflowErrorFilter }],
})
export class AppModule {}
