import { BadRequestException, Body, Controller, Get, Param, Post } from '@nestjs/common';
import { WorkflowClient } from 'nestjs-workflow';
import { ApproveExpense } from './approve-expense.workflow.js';
import type { Decision, Expense } from './expense.js';

@Controller('expenses')
export class ExpensesController {
  constructor(private readonly workflows: WorkflowClient) {}

  @Post()
  async hand(@Body() expense: Expense): Promise<{ id: string; created: boolean }> {
    if (!expense?.id || !expense.boss) throw new BadRequestException('An expense needs an id and a boss');
    const run = await this.workflows.trigger(ApproveExpense, expense, { runId: expense.id });
    return { id: run.runId, created: run.created };
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<{ status: string; decision?: Decision; error?: string }> {
    const run = await this.workflows.run(ApproveExpense, id).get();
    if (run.status === 'completed') return { status: run.status, decision: run.result };
    if (run.status === 'failed') return { status: run.status, error: run.error.message };
    return { status: run.status };
  }
}
