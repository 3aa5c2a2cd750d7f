export * from './definition.js';
export * from './explorer.js';
export * from './registry.js';
export * from './schedule-payload.js';
export * from './run-limits.js';
