export * from './commands.js';
export * from './result-waiter.js';
export * from './types.js';
export * from './workflow.client.js';
