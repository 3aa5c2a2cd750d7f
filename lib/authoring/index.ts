export * from './context.js';
export * from './current-step.js';
export * from './decorators.js';
export * from './durable-context.js';
export * from './event.js';
export * from './session.js';
export * from './types.js';
