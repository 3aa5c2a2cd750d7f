export * from './codes.js';
export * from './workflow.error.js';
