import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const path = (to: string): string => fileURLToPath(new URL(to, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^nestjs-workflow\/testing$/, replacement: path('./lib/testing/index.ts') },
      { find: /^nestjs-workflow$/, replacement: path('./lib/index.ts') },
    ],
  },
  // spelled out so that a change of tsconfig.json cannot break injection in tests
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['lib/**/*.spec.ts', 'test/**/*.spec.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // generous: two cores, and PGlite takes seconds to start beside other work; no test waits for a time to pass
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // so is what is looked for again and again: with the second that is the default a busy machine is the one that is tested
    expect: { poll: { interval: 20, timeout: 15_000 } },
    maxWorkers: 2,
    // two threads of one core beside PostgreSQL: a test that fails there once is given a second attempt, and is named at the end of the run
    retry: process.env['CI'] ? 1 : 0,
    reporters: ['default', './test/support/second-attempts.ts'],
    coverage: {
      provider: 'v8',
      include: ['lib/engine/**/*.ts'],
      exclude: ['**/*.spec.ts'],
      reporter: ['text'],
      thresholds: { branches: 100, functions: 100, lines: 100, statements: 100 },
    },
  },
});
