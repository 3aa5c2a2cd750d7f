export * from './commands.js';
export * from './flow-control.js';
export * from './result-waiter.js';
export * from './schedule.types.js';
export * from './schedules.js';
export * from './types.js';
export * from './webhooks.js';
export * from './workflow.client.js';
