import type { DynamicModule } from '@nestjs/common';
import { WorkflowModule, type WorkflowModuleOptions } from 'nestjs-workflow';
import { applicationName, HEARTBEAT_MS, LEASE_TIMEOUT_MS } from './settings.js';

/** The module as workers and the driver use it; the driver claims nothing. */
export const chaosModule = (
  url: string,
  name: string,
  options: Pick<WorkflowModuleOptions, 'transport' | 'worker'>,
): DynamicModule =>
  WorkflowModule.forRoot({
    database: { type: 'postgres', url, poolSize: 5, applicationName: applicationName(name) },
    transport: options.transport ?? 'http',
    http: { calls: { allow: ['127.0.0.0/8'] } },
    worker: options.worker ?? {
      concurrency: 40,
      heartbeat: `${HEARTBEAT_MS}ms`,
      leaseTimeout: `${LEASE_TIMEOUT_MS}ms`,
      pollInterval: '500ms',
    },
  });
