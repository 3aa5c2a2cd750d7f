import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { WorkflowError } from 'nestjs-workflow';

/** Errors of the library know their HTTP status: 404 for an order nobody placed, 409 for one that was placed differently. */
@Catch(WorkflowError)
export class WorkflowErrorFilter implements ExceptionFilter<WorkflowError> {
  constructor(private readonly adapter: HttpAdapterHost) {}

  catch({ status, code, message }: WorkflowError, host: ArgumentsHost): void {
    this.adapter.httpAdapter.reply(host.switchToHttp().getResponse(), { code, message }, status);
  }
}
