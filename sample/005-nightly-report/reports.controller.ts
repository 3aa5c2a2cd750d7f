import { Controller, Get, Param, Post } from '@nestjs/common';
import { WorkflowClient } from 'nestjs-workflow';
import { NightlyReport } from './nightly-report.workflow.js';
import type { Report } from './report.js';

interface ReportView {
  status: string;
  /** customers that are done, of those that were asked for so far */
  progress: { done: number; of: number };
  report?: Report;
  error?: string;
}

@Controller('reports')
export class ReportsController {
  constructor(private readonly workflows: WorkflowClient) {}

  /** Now, so that nobody has to wait for the night. */
  @Post()
  async make(): Promise<{ id: string }> {
    const { runId } = await this.workflows.schedules.trigger('nightly-report');
    return { id: runId };
  }

  @Get()
  async next(): Promise<{ nextAt: Date | null }> {
    const { nextAt } = await this.workflows.schedules.get('nightly-report');
    return { nextAt };
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<ReportView> {
    const run = await this.workflows.run(NightlyReport, id).get();
    const children = (await this.workflows.journal(id)).filter(({ kind }) => kind === 'invoke');
    const done = children.filter(({ state }) => state !== 'pending').length;
    const view = { status: run.status, progress: { done, of: children.length } };
    if (run.status === 'completed') return { ...view, report: run.result };
    if (run.status === 'failed') return { ...view, error: run.error.message };
    return view;
  }
}
