import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { WORKFLOW_ERRORS, WorkflowError } from 'nestjs-workflow';

/** Answers with the HTTP status of the error: 404 for an order nobody placed, 409 for one that was placed differently. */
@Catch(WorkflowError)
export class WorkflowErrorFilter implements ExceptionFilter<WorkflowError> {
  constructor(private readonly adapter: HttpAdapterHost) {}

  catch({ code, message }: WorkflowError, host: ArgumentsHost): void {
    const { status } = WORKFLOW_ERRORS[code];
    this.adapter.httpAdapter.reply(
      host.switchToHttp().getResponse(),
      { statusCode: status, code, message },
      status,
    );
  }
}
