export * from './codec.js';
export * from './transport.js';
export * from './clock.js';
export * from './probe.js';
export * from './store.js';
export * from './effects.js';
export * from './signal-channel.js';
export * from './calls.js';
