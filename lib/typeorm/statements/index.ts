export * from './answer.js';
export * from './claim.js';
export * from './commit.js';
export * from './event.js';
export * from './load.js';
export * from './run.js';
export * from './trigger.js';
export * from './worker.js';
