/** What a user has installed. */
export interface Cell {
  readonly name: string;
  readonly nest: '11' | '12';
  /** that of TypeORM; for that of Nest see `nestTypeorm` */
  readonly typeorm: '0.3' | '1';
  readonly nestTypeorm: '11' | '12';
  /** the oldest that is allowed, where not the newest is taken: the library has a way of its own through it */
  readonly pg?: '8.11.0';
  readonly typescript: '5.9' | '6.0';
  readonly module: 'commonjs' | 'esm';
  /** check the declarations of all packages too; false where those of others do not pass */
  readonly libCheck: boolean;
  readonly tests?: 'jest' | 'vitest';
  /** the adapter by database; the next cell has them the other way round */
  readonly adapters: { readonly pglite: Adapter; readonly postgres: Adapter };
}
export type Adapter = 'express' | 'fastify';

const ONE_WAY = { pglite: 'express', postgres: 'fastify' } as const;
const OTHER_WAY = { pglite: 'fastify', postgres: 'express' } as const;

export const CELLS: readonly Cell[] = [
  {
    name: 'Nest 11, TypeORM 0.3',
    nest: '11',
    typeorm: '0.3',
    nestTypeorm: '11',
    pg: '8.11.0',
    typescript: '5.9',
    module: 'commonjs',
    libCheck: true,
    tests: 'jest',
    adapters: ONE_WAY,
  },
  {
    name: 'Nest 11, TypeORM 1',
    nest: '11',
    typeorm: '1',
    nestTypeorm: '12',
    typescript: '6.0',
    module: 'esm',
    libCheck: true,
    adapters: OTHER_WAY,
  },
  {
    name: 'Nest 12, TypeORM 0.3',
    nest: '12',
    typeorm: '0.3',
    nestTypeorm: '12',
    typescript: '5.9',
    module: 'esm',
    libCheck: true,
    adapters: OTHER_WAY,
  },
  {
    name: 'Nest 12, TypeORM 1',
    nest: '12',
    typeorm: '1',
    nestTypeorm: '12',
    typescript: '6.0',
    module: 'esm',
    libCheck: true,
    tests: 'vitest',
    adapters: ONE_WAY,
  },
];

/** package.json of the user. @param tarball path of the packed package */
export function packageOf(cell: Cell, tarball: string): object {
  const nest = `^${cell.nest}.0.0`;
  const tests = {
    jest: { jest: '^30.0.0', 'ts-jest': '^29.4.0', '@jest/globals': '^30.0.0', supertest: '^7.0.0' },
    vitest: { vitest: '^4.1.0', vite: '^8.0.0', supertest: '^7.0.0' },
  };
  return {
    private: true,
    type: cell.module === 'esm' ? 'module' : 'commonjs',
    dependencies: {
      'nestjs-workflow': `file:${tarball}`,
      '@electric-sql/pglite': '^0.5.13',
      '@nestjs/common': nest,
      '@nestjs/core': nest,
      '@nestjs/platform-express': nest,
      '@nestjs/platform-fastify': nest,
      '@nestjs/testing': nest,
      '@nestjs/typeorm': `^${cell.nestTypeorm}.0.0`,
      pg: cell.pg ?? '^8.11.0',
      'reflect-metadata': '^0.2.0',
      rxjs: '^7.8.0',
      typeorm: cell.typeorm === '0.3' ? '^0.3.28' : '^1.0.0',
    },
    devDependencies: {
      '@types/express': '^5.0.0',
      '@types/node': '^20.0.0',
      '@types/pg': '^8.0.0',
      typescript: `~${cell.typescript}.0`,
      ...(cell.tests && tests[cell.tests]),
    },
  };
}

/** tsconfig.json of the user. */
export function tsconfigOf(cell: Cell): object {
  const module =
    cell.module === 'esm' ? { module: 'nodenext' } : { module: 'commonjs', esModuleInterop: true };
  return {
    compilerOptions: {
      ...module,
      target: 'es2023',
      types: ['node'],
      strict: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      skipLibCheck: !cell.libCheck,
      rootDir: 'src',
      outDir: 'dist',
    },
    include: ['src'],
    exclude: ['src/*.test.ts'],
  };
}

/** What docs/testing.md tells users of jest to write. */
export const JEST_CONFIG = `module.exports = {
  testMatch: ['**/src/*.test.ts'],
  transform: { '^.+\\\\.[tj]s$': ['ts-jest', { tsconfig: { allowJs: true } }] },
  transformIgnorePatterns: ['/node_modules/(?!(nestjs-workflow|devalue)/)'],
  moduleNameMapper: { '^(\\\\.{1,2}/.*)\\\\.js$': '$1' },
};
`;

/** What docs/testing.md tells users of vitest to write. */
export const VITEST_CONFIG = `import { defineConfig } from 'vitest/config';

export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: { include: ['src/*.test.ts'] },
});
`;
