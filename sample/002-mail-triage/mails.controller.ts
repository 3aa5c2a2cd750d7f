import { Body, Controller, Param, Post } from '@nestjs/common';
import { WorkflowClient, type NotifyResult } from 'nestjs-workflow';
import type { Mail, Triage } from './mail.js';
import { Moderated } from './steps/quarantine.js';
import { MailTriage } from './triage.workflow.js';

export interface RunReport {
  runId: string;
  status: string;
  result?: Triage;
  error?: string;
}

/** Each request may be sent again, with the same effect as sent once: the driver does so after each kill. */
@Controller('mails')
export class MailsController {
  constructor(private readonly workflows: WorkflowClient) {}

  @Post()
  async trigger(@Body() { session, mails }: { session: string; mails: Mail[] }): Promise<string[]> {
    const runs = await this.workflows.triggerMany(
      MailTriage,
      mails.map((mail) => ({ payload: mail, runId: `${session}.${mail.id}`, labels: [session] })),
    );
    return runs.map((run) => run.runId);
  }

  @Post('report')
  report(@Body() { runIds }: { runIds: string[] }): Promise<RunReport[]> {
    return Promise.all(
      runIds.map(async (runId) => {
        const run = await this.workflows.run(MailTriage, runId).get();
        return {
          runId,
          status: run.status,
          ...(run.status === 'completed' && { result: run.result }),
          ...(run.status === 'failed' && { error: run.error.message }),
        };
      }),
    );
  }

  @Post(':runId/moderation')
  moderate(@Param('runId') runId: string, @Body() { release }: { release: boolean }): Promise<NotifyResult> {
    return this.workflows.run(MailTriage, runId).notify(Moderated(runId), { release });
  }
}
